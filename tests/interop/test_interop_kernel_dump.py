"""Our dump beside the one that the kernel's own code makes of the same card: every byte, every
status, as many accesses entity by entity, and the same registers left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import cudbg
import emu
from driver.adapter import Adapter
from driver.errors import ProbeError
from driver.inproc import Inproc
from tests.interop.kernel_driver import cards
from tests.interop.kernel_driver.build import build
from tests.interop.kernel_driver.harness import Harness, RunError
from tests.interop.kernel_driver.source import cache, kernel_source

pytestmark = pytest.mark.interop

CARDS = ["t62100-cr", "t6225-cr", "t520-cr", "t580-cr", "t580-mc1"]
FAULTS = sorted(emu.faults())


@pytest.fixture(scope="module")
def library() -> Any:
    """The driver's code, built for user space."""
    return build(kernel_source(), cache())


def adapter_of(card: emu.Card) -> Adapter:
    """Our driver's, which does not really sleep: the kernel's code does not either."""
    transport = Inproc(card.bar0.access, card.config_access, owner=card)
    return Adapter(transport, sleep=lambda seconds: None)


class Both:
    """One state of a card, dumped by the kernel's code and by ours."""

    def __init__(self, library: Any, name: str, compress: str, **options: Any) -> None:
        self.compress = compress
        self.kernels_card = emu.Card.load(name, **options)
        self.our_card = emu.Card.load(name, **options)
        with Harness(library, cards.emulated(self.kernels_card)) as kernel:
            kernel.probe()
            self.kernels = bytes(kernel.collect(compress=compress == "zlib"))
            self.kernels_counts = kernel.counts
        self.ours = bytearray(len(self.kernels))
        with adapter_of(self.our_card) as adapter:
            self.report = adapter.collect(
                memoryview(self.ours), compress=compress, limit=cudbg.DUMP_SIZE
            )

    def statuses(self, data: bytes | bytearray) -> dict[str, tuple[int, int, int]]:
        return {
            entity.name: (entity.code, entity.sys_err, entity.sys_warn)
            for entity in cudbg.Dump(data).entities
        }

    def check(self, *, but_counts_of: frozenset[str] = frozenset()) -> None:
        """Statuses first: they say most."""
        assert self.statuses(self.ours) == self.statuses(self.kernels)
        assert not list(self.different())
        assert bytes(self.ours) == self.kernels
        ours, theirs = self.our_counts(), self.their_counts()
        assert {n: c for n, c in ours.items() if theirs[n] != c}.keys() <= but_counts_of
        assert self.registers(self.our_card) == self.registers(self.kernels_card)

    def different(self) -> Iterator[str]:
        """Entities whose raw bytes differ."""
        ours, theirs = cudbg.Dump(self.ours), cudbg.Dump(self.kernels)
        good = [entity.name for entity in theirs.entities if entity.good]
        return (name for name in good if ours.raw(name) != theirs.raw(name))

    def our_counts(self) -> dict[str, tuple[int, int, int, int]]:
        counted = ((e.name, e.counts) for e in self.report.entities if e.counts.total)
        return {name: (c.r32, c.w32, c.r64, c.w64) for name, c in counted}

    def their_counts(self) -> dict[str, tuple[int, int, int, int]]:
        counted = self.kernels_counts.items()
        return {
            cudbg.ORDER[number]: (c.r32, c.w32, c.r64, c.w64)
            for number, c in counted
            if number and c.accesses
        }

    def registers(self, card: emu.Card) -> list[bytes]:
        """BAR0 as it is, and every table behind an index port."""
        state = card.snapshot()
        return [bytes(memfd.view) for memfd in state.bars] + list(state.tables)


@pytest.mark.parametrize("compress", ["zlib", "none"])
@pytest.mark.parametrize("name", CARDS)
def test_dump_is_the_kernels_to_the_byte(library: Any, name: str, compress: str) -> None:
    Both(library, name, compress).check()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_dump_of_a_faulty_card_is_the_kernels_to_the_byte(
    library: Any, name: str, fault: str
) -> None:
    try:
        both = Both(library, name, "zlib", faults=[fault])
    except RunError as refusal:
        if "no dump was offered" not in str(refusal):
            raise
        with pytest.raises(ProbeError):
            adapter_of(emu.Card.load(name, faults=[fault]))
        return
    # where its list ends early, LE_TCAM asks a second time for the entry that ended it
    both.check(but_counts_of=frozenset({"LE_TCAM"} if fault.startswith("le-") else ()))


@pytest.mark.parametrize("firmware", ["firmware-slow", "firmware-dead", "firmware-error"])
def test_dump_asks_the_firmware_for_its_log_as_the_kernel_does(library: Any, firmware: str) -> None:
    Both(library, "t62100-cr", "zlib", faults=["no-devlog-pointer", firmware]).check()


def test_dump_drops_the_same_memory_where_the_note_is_full(library: Any) -> None:
    Both(library, "t62100-big", "zlib").check()
