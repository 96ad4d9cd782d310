"""The kernel's driver on our emulated cards: a whole probe, interfaces, the next kernel.

tests/interop/test_kernel_dump.py compares its dumps of them with ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.comparison import assert_alike, by_kernel
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import cudbg, emu

pytestmark = pytest.mark.interop

CARDS = ("t580-cr", "t62100-cr")
MC1, MA_INDIRECT, HMA_INDIRECT, HMA = 21, 61, 67, 68


def load(name: str) -> emu.Card:
    return emu.Card.load(name, seed=1, strict=True)


def small(name: str, *faults: str) -> emu.Card:
    """Loads a card with little memory, which saves time and changes nothing else in a dump."""
    return emu.Card.load(name, seed=1, faults=faults, strict=True, memory={"mc0": 1})


@pytest.mark.parametrize("name", sorted(emu.profiles()))
def test_the_kernels_driver_brings_a_card_up_and_lets_it_go(library: Path, name: str) -> None:
    card = load(name)
    with Harness(library, emulated(card)) as witness:
        assert witness.bring_up() == 0
        assert witness.ports > 0
        for port in range(witness.ports):
            assert witness.interface_up(port) == 0
            assert witness.has_carrier(port)
        for port in range(witness.ports):
            assert witness.interface_down(port) == 0
        witness.remove()
    assert not card.access_log.totals


@pytest.mark.parametrize("name", CARDS)
def test_a_crash_kernel_takes_over_a_card_that_was_left_running(library: Path, name: str) -> None:
    card = small(name)
    with (
        Harness(library, emulated(card)) as crashed,
        Harness(library, emulated(card)) as capturing,
    ):
        assert crashed.bring_up() == 0
        assert crashed.interface_up(0) == 0
        assert capturing.bring_up(kdump=True) == 0
        assert capturing.ports == crashed.ports
        found = dump.read(capturing.payload)
    failed = {number for number, entity in found.entities.items() if not entity.good}
    assert failed <= {MC1, MA_INDIRECT, HMA_INDIRECT, HMA}
    assert not card.access_log.totals


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ("firmware-slow", 0),
        ("firmware-uninitialised", 0),
        ("firmware-other-master", 0),
        ("firmware-error", -6),
        ("firmware-dead", -16),
    ],
)
def test_the_state_of_the_firmware_decides_how_a_probe_ends(
    library: Path, fault: str, result: int
) -> None:
    with Harness(library, emulated(small("t62100-cr", fault))) as witness:
        assert witness.bring_up() == result


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize(("kdump", "master"), [(False, 0), (True, 4)])
def test_the_driver_is_a_slave_of_another_master_unless_it_is_a_crash_kernels(
    library: Path, name: str, kdump: bool, master: int
) -> None:
    """A slave brings its interfaces up all the same."""
    card = emu.Card.load(name, 1, scene="fresh", faults=["firmware-other-master"])
    r = card.chip.r
    with Harness(library, emulated(card)) as witness:
        assert witness.bring_up(kdump=kdump) == 0
        assert r.PCIE_FW.get(card.read(r.PCIE_FW), "MASTER") == master
        assert witness.interface_up(0) == 0
        assert card.engine.c.ports[0].up
        assert f"Coming up as {'MASTER' if kdump else 'SLAVE'}: " in witness.log


@pytest.mark.parametrize("name", CARDS)
def test_a_crash_kernels_whole_probe_keeps_the_dump(library: Path, name: str) -> None:
    alone, _ = by_kernel(library, emulated(small(name)))
    with Harness(library, emulated(small(name))) as witness:
        assert witness.bring_up(kdump=True) == 0
        assert_alike(alone, bytearray(witness.payload))


@pytest.mark.parametrize("name", CARDS)
def test_ethtool_dumps_a_running_card_through_its_firmware(library: Path, name: str) -> None:
    card = small(name)
    with Harness(library, emulated(card)) as witness:
        witness.bring_up()
        made = witness.ethtool_dump()
    found = dump.read(made)
    failed = {number for number, entity in found.entities.items() if not entity.good}
    assert failed <= {MC1, MA_INDIRECT, HMA_INDIRECT, HMA}
    assert not card.access_log.totals
    assert_decoded_as_a_running_drivers(cudbg.Dump(made))
    assert_same_times(cudbg.Dump(made), cudbg.Dump(by_kernel(library, emulated(small(name)))[0]))


def parts(found: cudbg.Dump, name: str, kind: str) -> list[dict[str, Any]]:
    """The rows of an entity's tables, or the values of its fields."""
    return [row for part in found.decode(name).json() for row in part.get(kind, ())]


def assert_decoded_as_a_running_drivers(found: cudbg.Dump) -> None:
    """Ranges are known, the log of commands is full of them, and a queue has its state."""
    hello, reply, *_ = parts(found, "MBOX_LOG", "rows")
    assert (hello["kind"], hello["command"], reply["result"]) == ("request", "HELLO", "ok")
    ranges = {row["ids"]: row["number"] for row in parts(found, "TID_INFO", "rows")}
    assert ranges["filter (FTID)"] == 512
    (events,) = parts(found, "QDESC", "rows")
    assert (events["type"], events["descriptors"]) == ("firmware events", 1023)
    assert events["PIDX"] is not None


def assert_same_times(running: cudbg.Dump, crashed: cudbg.Dump) -> None:
    """Times of a crash kernel, which does not know the clock, are decoded as a running driver's."""
    timers = [
        {item["name"]: item["value"] for item in parts(each, "CLK", "values")}
        for each in (running, crashed)
    ]
    assert timers[0].items() <= timers[1].items()
    schedulers = (parts(each, "HW_SCHED", "rows") for each in (running, crashed))
    for one, other in zip(*schedulers, strict=True):
        assert one["kbit/s"] == other["kbit/s"]
        assert other["pace in us"] <= one["pace in us"] <= other["to"]
