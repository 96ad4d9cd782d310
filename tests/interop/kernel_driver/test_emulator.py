"""The kernel's driver on our emulated cards: a whole probe, interfaces, the next kernel.

tests/interop/test_kernel_dump.py compares its dumps of them with ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.comparison import assert_alike, by_kernel
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import emu

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
        found = dump.read(witness.ethtool_dump())
    failed = {number for number, entity in found.entities.items() if not entity.good}
    assert failed <= {MC1, MA_INDIRECT, HMA_INDIRECT, HMA}
    assert not card.access_log.totals
