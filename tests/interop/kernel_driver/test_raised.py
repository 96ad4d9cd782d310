"""The kernel's own code dumps a card that was raised from a dump: it finds what is in the dump."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.comparison import assert_alike, by_kernel, by_us, differences
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import cudbg, emu
from vmcoredd.cudbg.words import words_of
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.silicon import faults
from vmcoredd.raised import raise_card

pytestmark = pytest.mark.interop

NO_DUMP = ("device-gone", "flash-busy", "flash-hangs", "other-function")
"""Faults that make the probe fail."""
LONG = ("cim-ibq-busy",)
"""The kernel's driver polls a million times for each queue."""
SPREAD = (
    "cim-host-busy",
    "cim-host-hangs",
    "cim-la-hangs",
    "cim-obq-empty",
    "context-busy",
    "ecc-uncorrectable-edc0",
    "firmware-crash",
    "le-status",
    "no-context-bases",
    "no-edc1",
    "no-vpd",
    "rss-row-not-valid",
    "tp-la-runs",
    "vpd-bad-checksum",
    "vpd-silent",
    "window-all-ones",
    "window-unusable",
)
THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
FAULTS = (
    [f.example for f in faults().values() if not f.served and f.name not in (*NO_DUMP, *LONG)]
    if THOROUGH
    else SPREAD
)
HOSTS = {"MBOX_LOG", "QDESC", "TID_INFO", "CLK", "HW_SCHED"}
"""What a running driver's dump has of the host, which the next kernel does not."""
ASKED = {"DUMP_CONTEXT", "MPS_TCAM", "SGE_INDIRECT"}
"""What a running driver asks the firmware for, or leaves out while an interface is up."""

SET_UP = {"REG_DUMP", "RSS", "DEV_LOG", "EDC0", "EDC1", "MC0", "PCIE_CONFIG", "TP_INDIRECT"}
"""What a driver that attaches changes."""


def small(name: str, *of: str) -> emu.Card:
    return emu.Card.load(name, 3, faults=of, memory={"mc0": 1})


@pytest.mark.parametrize("name", sorted(emu.profiles()))
def test_the_kernels_driver_finds_in_a_raised_card_what_its_dump_says(
    library: Path, name: str
) -> None:
    first, _ = by_kernel(library, emulated(emu.Card.load(name, seed=3)))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    again, _ = by_kernel(library, emulated(raised.card))
    assert_alike(first, again)


def on_each(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields cards with faults: each fault on a T5 or on a T6, on both if thorough."""
    cards = ("t62100-cr", "t520-cr")
    for i, name in enumerate(names):
        yield from ((card, name) for card in (cards if THOROUGH else cards[i % 2 :][:1]))


@pytest.mark.parametrize(("name", "fault"), [*on_each(FAULTS)])
def test_what_was_broken_is_broken_in_the_raised_card(library: Path, name: str, fault: str) -> None:
    try:
        card = small(name, fault)
    except NoSuchFault as none:
        pytest.skip(str(none))
    first, _ = by_kernel(library, emulated(card))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    again, _ = by_kernel(library, emulated(raised.card))
    assert_alike(first, again)


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_a_card_is_raised_from_what_ethtool_wrote_of_a_running_one(
    library: Path, name: str
) -> None:
    """The next kernel finds all of the card in it, our driver also what the first one knew."""
    with Harness(library, emulated(small(name))) as running:
        assert running.bring_up() == 0
        made = bytearray(running.ethtool_dump())
    raised = raise_card(cudbg.Dump(memoryview(made)))
    snapshot = raised.card.snapshot()
    theirs, _ = by_kernel(library, emulated(raised.card))
    assert differing(made, theirs) <= HOSTS | ASKED | {"REG_DUMP"}
    raised.card.restore(snapshot)
    ours = memoryview(bytearray(cudbg.DUMP_SIZE))
    with raised.open() as adapter:
        report = adapter.collect(ours)
    assert differing(made, bytearray(ours[: report.data_len])) <= ASKED | {"REG_DUMP"}
    assert changed_registers(made, theirs) == {"SF_DATA"}  # what the probe read of the flash


def changed_registers(one: bytearray, other: bytearray) -> set[str]:
    """The names of the registers of REG_DUMP that differ."""
    words = [words_of(cudbg.Dump(memoryview(each)), "REG_DUMP") for each in (one, other)]
    return {a.name for a, b in zip(*words, strict=True) if a.value != b.value}


def differing(one: bytearray, other: bytearray) -> set[str]:
    """The names of the entities that differ."""
    names = {entity.number: entity.name for entity in cudbg.Dump(memoryview(one)).entities}
    return {names.get(n, str(n)) for n in differences(dump.read(one), dump.read(other))}


def test_our_driver_and_the_kernels_agree_on_a_raised_card(library: Path) -> None:
    first, _ = by_us(small("t62100-cr", "cim-host-hangs"))
    raised = raise_card(cudbg.Dump(memoryview(first))).card
    snapshot = raised.snapshot()
    theirs, accesses = by_kernel(library, emulated(raised))
    raised.restore(snapshot)
    ours, made = by_us(raised)
    assert_alike(theirs, ours)
    assert accesses == made


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("t62100-cr", "read:PCIE_FW_PF[7]"),
        ("t520-cr", "read:MA_EDRAM0_BAR:2"),
        ("t62100-cr", "write:TP_PIO_ADDR"),
        ("t520-cr", "read:LE_DB_DBGI_RSP_DATA[0]:20"),
        ("t62100-cr", "write:PCIE_MEM_ACCESS_OFFSET[0]:900"),
    ],
)
def test_the_kernels_driver_loses_a_raised_card_where_our_driver_lost_the_first(
    library: Path, name: str, place: str
) -> None:
    """It goes on with all ones, and finds what it finds in the first card if that is lost there."""
    first, _ = by_us(small(name, f"device-gone@{place}"))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    assert raised.loss
    theirs, _ = by_kernel(library, emulated(raised.card))
    expected, _ = by_kernel(library, emulated(small(name, *raised.loss)))
    assert_alike(theirs, expected)


@pytest.mark.parametrize(
    ("name", "place", "part"),
    [
        *([("t520-cr", "read:PL_PL_INT_CAUSE", None)] if THOROUGH else []),  # a minute
        ("t62100-cr", "read:TP_RSS_CONFIG_VRT:2", None),
        ("t62100-cr", "read:TP_PIO_DATA:37", "RSS_VF_CONF"),
        ("t520-cr", "read:LE_DB_DBGI_RSP_DATA[0]:20", "LE_TCAM"),
    ],
)
def test_a_card_that_the_kernels_driver_lost_is_lost_again(
    library: Path, name: str, place: str, part: str | None
) -> None:
    """All is the same, but for `part`: an entity that was lost after its first access."""
    first, _ = by_kernel(library, emulated(small(name, f"device-gone@{place}")))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    again, _ = by_kernel(library, emulated(raised.card))
    assert differing(first, again) <= {part}


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_the_kernels_driver_attaches_to_a_raised_card_that_is_alive(
    library: Path, name: str
) -> None:
    """It finds the dead card's state, but for what it asked for and what it set up itself."""
    first, _ = by_us(small(name, "firmware-crash", "ecc-uncorrectable-edc0"))
    raised = raise_card(cudbg.Dump(memoryview(first)), alive=True)
    with Harness(library, emulated(raised.card)) as running:
        assert running.bring_up() == 0, running.log()
        found = bytearray(running.ethtool_dump())
    there = {entity.name for entity in cudbg.Dump(memoryview(found)).entities}
    assert there >= {entity.name for entity in cudbg.Dump(memoryview(first)).entities}
    assert differing(first, found) <= HOSTS | ASKED | SET_UP
    causes = changed_registers(first, found)
    assert not {name for name in causes if name.startswith(("EDC_", "LE_", "MC_", "CIM_OBQ"))}
