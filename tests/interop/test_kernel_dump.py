"""Our dump of a card equals the one by the kernel's own code: every byte and status, the number of
accesses of each entity, and the registers afterwards.

By default, a selection covers each case once; VMCOREDD_THOROUGH=1 runs every combination.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pyvfio_user import Server
from tests.interop.kernel_driver.build import build
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness, RunError
from tests.interop.kernel_driver.source import cache, kernel_source
from vmcoredd import cudbg, emu
from vmcoredd.cudbg.entity import entities
from vmcoredd.diagnosis import diagnose
from vmcoredd.driver.adapter import Adapter
from vmcoredd.driver.errors import ProbeError
from vmcoredd.driver.transports import Inproc, Socket, Transport
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.server import attach

pytestmark = pytest.mark.interop

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
SMALL = {"edc0": 2, "edc1": 2, "mc0": 1}
"""MiB; less would change the effect of no-context-bases."""
ONE_OF_EACH = ("t62100-cr", "t520-cr")
NO_DUMP = ("device-gone", "flash-busy", "flash-hangs", "other-function")
"""Faults that make the probe fail."""
REPORTS = [fault.example for fault in emu.faults().values() if fault.reports]
"""Faults that change no access."""
SERVED = [fault.example for fault in emu.faults().values() if fault.served]
"""Those of a server, which a card in this process lacks."""
FAULTS = sorted({fault.example for fault in emu.faults().values()} - {*NO_DUMP, *REPORTS, *SERVED})
POLLS = {
    "CIM_HOST_ACC_CTRL": 4,
    "CIM_OBQ_DBG_CFG": 1,
    "CIM_IBQ_DBG_CFG": 20,
    "TP_RSS_LKP_TABLE": 4,
    "LE_DB_DBGI_CONFIG": 6,
    "SGE_CTXT_CMD": 2,
}
"""The most polls the kernel makes of each register (of the third: a million, 20 are enough)."""

Counts = dict[str, tuple[int, int, int, int]]


def profiles() -> list[Any]:
    """Every profile unchanged, and one of each chip with its hash table in the other state."""
    made = [pytest.param(name, {}, id=name) for name in emu.profiles()]
    for name in ONE_OF_EACH:
        tables = {"hash_filters": True, "connections": 200}
        made.append(pytest.param(name, {"tables": tables}, id=f"{name}-hash"))
    return made


def chosen(cards: tuple[str, ...]) -> tuple[str, ...]:
    """All cards if thorough, else the first."""
    return cards if THOROUGH else cards[:1]


@pytest.fixture(scope="session")
def kernel(progress: Any) -> Path:
    """The kernel's source."""
    return kernel_source(progress=progress)


@pytest.fixture(scope="session")
def library(kernel: Path, progress: Any) -> Path:
    """The driver's code, built for user space."""
    return build(kernel, cache(), progress)


@contextmanager
def in_process(card: emu.Card) -> Iterator[Transport]:
    yield Inproc(card)


@contextmanager
def over_a_socket(card: emu.Card) -> Iterator[Transport]:
    """A vfio-user server in a thread, and a connection to it."""
    with TemporaryDirectory() as folder, Server(path := Path(folder) / "sock") as server:
        attach(card, server)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Socket(path)
        finally:
            server.stop()
            thread.join()


POLL_DEADLINE = 5.0
"""Of the longest poll, in seconds (driver/engine.c)."""
Way = Callable[[emu.Card], Any]


class Both:
    """Two equal cards, one dumped by the kernel's code and one by ours."""

    def __init__(
        self,
        library: Path,
        load: Callable[[], emu.Card],
        compress: str = "zlib",
        way: Way = in_process,
    ) -> None:
        self.cards = load(), load()
        with Harness(library, emulated(self.cards[0])) as kernel:
            kernel.probe()
            self.theirs = bytes(kernel.collect(compress=compress == "zlib"))
            counts = kernel.counts
        names = {entity.number: entity.name for entity in entities().values()}
        self.their_counts = {
            names[number]: (c.r32, c.w32, c.r64, c.w64)
            for number, c in counts.items()
            if c.accesses
        }
        self.ours, self.our_counts, self.cut = dumped(self.cards[1], compress, way)

    def check(self, *, but_counts_of: str = "") -> None:
        """Compares statuses first: they explain most differences."""
        assert statuses(self.ours) == statuses(self.theirs)
        assert list(different(self.ours, self.theirs)) == []
        assert bytes(self.ours) == self.theirs
        for counts in (self.our_counts, self.their_counts):
            counts.pop(but_counts_of, None)
        for name in self.cut:
            (polls, *ours), (most, *theirs) = self.our_counts.pop(name), self.their_counts.pop(name)
            assert polls <= most
            assert ours == theirs, name
        assert self.our_counts == self.their_counts
        assert registers(self.cards[1]) == registers(self.cards[0])


def dumped(
    card: emu.Card, compress: str = "zlib", way: Way = in_process
) -> tuple[bytearray, Counts, list[str]]:
    """Our dump, its accesses, and the entities that polled until their deadline, which the kernel
    has not: on a busy host. Waits for the firmware take no time, as in the kernel's code."""
    data = bytearray(cudbg.DUMP_SIZE)
    with way(card) as transport, Adapter(transport, sleep=lambda seconds: None) as adapter:
        report = adapter.collect(memoryview(data), compress=compress)
    counted = ((entity.name, entity.counts) for entity in report.entities if entity.counts.total)
    counts = {name: (c.r32, c.w32, c.r64, c.w64) for name, c in counted}
    cut = [entity.name for entity in report.entities if entity.seconds >= POLL_DEADLINE]
    return data, counts, cut


def statuses(data: bytes | bytearray) -> dict[str, tuple[int, int, int]]:
    entities = cudbg.Dump(data).entities
    return {entity.name: (entity.code, entity.sys_err, entity.sys_warn) for entity in entities}


def different(one: bytes | bytearray, other: bytes | bytearray) -> Iterator[str]:
    """Entities whose raw bytes differ."""
    ours, theirs = cudbg.Dump(one), cudbg.Dump(other)
    good = [entity.name for entity in theirs.entities if entity.good]
    return (name for name in good if ours.raw(name) != theirs.raw(name))


def registers(card: emu.Card) -> list[bytes]:
    """BAR0 and every table behind a lookup."""
    state = card.snapshot()
    return [bytes(memfd.view) for memfd in state.bars] + list(state.tables)


def small(name: str, *faults: str, seed: int = 0) -> emu.Card:
    return emu.Card.load(name, seed, faults=faults, strict=True, memory=SMALL)


def test_entities_have_the_kernels_numbers_names_and_order(kernel: Path) -> None:
    source = kernel / "drivers/net/ethernet/chelsio/cxgb4"
    numbers = dict(re.findall(r"\bCUDBG_(\w+) = (\d+)", (source / "cudbg_if.h").read_text()))
    tables = dict(
        re.findall(
            r"cxgb4_collect_(hw|mem)_dump\[\] = \{(.*?)\n\};",
            (source / "cxgb4_cudbg.c").read_text(),
            re.DOTALL,
        )
    )
    order = re.findall(r"\{ CUDBG_(\w+),", tables["hw"] + tables["mem"])
    ours = [(entity.name, entity.number) for entity in entities().values()]
    assert ours == [(name, int(numbers[name])) for name in order]
    assert len(ours) == 52


@pytest.mark.parametrize(("name", "overrides"), profiles())
def test_a_dump_of_any_profile_equals_the_kernels(
    library: Path, name: str, overrides: dict[str, Any]
) -> None:
    both = Both(library, lambda: emu.Card.load(name, strict=True, **overrides))
    both.check()
    assert diagnose(cudbg.Dump(both.theirs)).alarming == ()


@pytest.mark.parametrize("name", emu.profiles() if THOROUGH else ONE_OF_EACH)
def test_a_dump_without_compression_equals_the_kernels(library: Path, name: str) -> None:
    Both(library, lambda: emu.Card.load(name, strict=True), "none").check()


@pytest.mark.parametrize("seed", range(1, 10) if THOROUGH else (1, 2))
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_dump_of_any_seed_equals_the_kernels(library: Path, name: str, seed: int) -> None:
    Both(library, lambda: small(name, seed=seed)).check()


@pytest.mark.parametrize("compress", ["zlib", "none"] if THOROUGH else ["zlib"])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_dump_over_a_socket_equals_the_kernels(library: Path, name: str, compress: str) -> None:
    Both(library, lambda: emu.Card.load(name, strict=True), compress, over_a_socket).check()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_restored_card_gives_the_kernels_dump_again(library: Path, name: str) -> None:
    card = small(name)
    saved = card.snapshot()
    first, *_ = dumped(card)
    assert dumped(card)[0] != first  # REG_DUMP shows traces of the first dump
    card.restore(saved)
    assert dumped(card)[0] == first
    card.restore(saved)
    with Harness(library, emulated(card)) as kernel:
        kernel.probe()
        assert kernel.collect() == first


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", chosen(ONE_OF_EACH))
def test_a_dump_of_a_faulty_card_equals_the_kernels(library: Path, name: str, fault: str) -> None:
    # where its list ends early, LE_TCAM requests the entry that ended it a second time
    but = "LE_TCAM" if fault.startswith("le-") else ""
    Both(library, lambda: small(name, fault)).check(but_counts_of=but)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_dump_of_a_card_that_reports_all_errors_equals_the_kernels(
    library: Path, name: str
) -> None:
    def load() -> emu.Card:
        card = small(name)
        for fault in REPORTS:
            with contextlib.suppress(NoSuchFault):
                card.fail(fault)
        return card

    Both(library, load).check()


@pytest.mark.parametrize("fault", NO_DUMP)
def test_a_card_that_the_kernel_does_not_dump_is_not_dumped(library: Path, fault: str) -> None:
    with (
        Harness(library, emulated(small("t62100-cr", fault))) as kernel,
        pytest.raises(RunError, match="no dump was registered"),
    ):
        kernel.probe()
    with pytest.raises(ProbeError):
        dumped(small("t62100-cr", fault))


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("firmware-slow", (0, 0, 0)),
        ("firmware-uninitialised", (0, 0, 0)),
        ("firmware-error", (-29, -6, 0)),
        ("firmware-dead", (-29, -110, 0)),
        ("firmware-asserts", (-29, -5, 0)),
        ("firmware-crash@command:DEVLOG", (-29, -6, 0)),
        ("firmware-loses-command", (-29, -110, 0)),
        ("firmware-retval=ENOSYS", (-29, -38, 0)),
        ("mailbox-taken", (-29, -16, 0)),
    ],
)
def test_we_query_the_firmware_for_its_log_as_the_kernel_does(
    library: Path, fault: str, codes: tuple[int, int, int]
) -> None:
    both = Both(library, lambda: small("t62100-cr", "no-devlog-pointer", fault))
    both.check()
    assert statuses(both.theirs)["DEV_LOG"] == codes


@pytest.mark.parametrize("register", ["PCIE_FW_PF[7]", "CIM_HOST_ACC_CTRL:40", "LE_DB_DBGI_CONFIG"])
def test_a_dump_during_which_the_firmware_crashes_equals_the_kernels(
    library: Path, register: str
) -> None:
    """Before DEV_LOG is read, in CIM_LA, and in LE_TCAM."""
    both = Both(library, lambda: small("t62100-cr", f"firmware-crash@read:{register}"))
    assert [*both.cards[1].faults] == ["firmware-crash"]
    both.check()


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("register", POLLS if THOROUGH else ["LE_DB_DBGI_CONFIG"])
@pytest.mark.parametrize("name", chosen(ONE_OF_EACH))
def test_we_wait_for_a_slow_register_as_the_kernel_does(
    library: Path, name: str, register: str, more: int
) -> None:
    def load() -> emu.Card:
        card = small(name)
        card.core.lookups.delay(POLLS[register] + more, card.chip.r[register])
        return card

    Both(library, load).check(but_counts_of="LE_TCAM" if more else "")
