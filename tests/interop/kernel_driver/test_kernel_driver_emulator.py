"""The kernel's own driver on our emulated cards, and our driver beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

import driver
import emu
from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness, RunError
from tests.interop.kernel_driver.sides import assert_alike, by_kernel, by_us

pytestmark = pytest.mark.interop

CARDS = ("t580-cr", "t62100-cr")
NO_DUMP = {"other-function", "device-gone", "flash-busy", "flash-hangs"}
#: Faults during which our driver may make other accesses than the kernel's: it gives up a poll by
#: the clock, has asked for rows behind the one that failed, or has nothing to switch off.
OTHER_ACCESSES = {"cim-ibq-busy", "cim-obq-empty", "le-status", "le-busy"}
BROKEN = [(name, fault) for name in CARDS for fault in sorted(set(emu.faults()) - NO_DUMP)]
BROKEN.remove(("t580-cr", "cim-ibq-busy"))  # ten seconds, and the same silicon
DEV_LOG = 2
MC1, MA_INDIRECT, HMA_INDIRECT, HMA = 21, 61, 67, 68


def load(name: str, *faults: str, seed: int = 1) -> emu.Card:
    return emu.Card.load(name, seed=seed, faults=faults, strict=True)


def small(name: str, *faults: str, seed: int = 1) -> emu.Card:
    """The same with little memory: the rest of a dump does not change, and it takes less time."""
    return emu.Card.load(name, seed=seed, faults=faults, strict=True, memory={"mc0": 1})


@pytest.mark.parametrize("compress", [True, False], ids=["zlib", "raw"])
@pytest.mark.parametrize("name", CARDS)
def test_our_dump_of_a_card_is_the_kernels_to_the_byte(
    library: Path, name: str, compress: bool
) -> None:
    theirs, their_accesses = by_kernel(library, emulated(load(name)), compress=compress)
    ours, our_accesses = by_us(load(name), compress=compress)
    assert_alike(theirs, ours)
    assert our_accesses == their_accesses


@pytest.mark.parametrize("name", sorted(set(emu.profiles()) - set(CARDS)))
def test_so_it_is_of_every_other_profile(library: Path, name: str) -> None:
    theirs, their_accesses = by_kernel(library, emulated(load(name)))
    ours, our_accesses = by_us(load(name))
    assert_alike(theirs, ours)
    assert our_accesses == their_accesses


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("name", CARDS)
def test_so_it_is_whatever_the_seed(library: Path, name: str, seed: int) -> None:
    theirs, _ = by_kernel(library, emulated(small(name, seed=seed)))
    ours, _ = by_us(small(name, seed=seed))
    assert_alike(theirs, ours)


@pytest.mark.parametrize(
    ("name", "failed"),
    [("t580-cr", {MC1, MA_INDIRECT, HMA_INDIRECT, HMA}), ("t62100-cr", {MC1, HMA})],
)
def test_the_kernel_gets_every_entity_that_the_chip_has(
    library: Path, name: str, failed: set[int]
) -> None:
    found = dump.read(by_kernel(library, emulated(small(name)))[0])
    assert len(found.entities) == 52
    assert {number for number, entity in found.entities.items() if not entity.good} == failed
    assert all(entity.sys_warn == 0 for entity in found.entities.values())


@pytest.mark.parametrize(("name", "fault"), BROKEN)
def test_our_dump_of_a_broken_card_is_the_kernels(library: Path, name: str, fault: str) -> None:
    theirs, their_accesses = by_kernel(library, emulated(small(name, fault)))
    ours, our_accesses = by_us(small(name, fault))
    assert_alike(theirs, ours)
    if fault not in OTHER_ACCESSES:
        assert our_accesses == their_accesses


@pytest.mark.parametrize(
    ("firmware", "codes"),
    [
        ("firmware-slow", (0, 0, 0)),
        ("firmware-uninitialised", (0, 0, 0)),
        ("firmware-error", (-29, -6, 0)),
        ("firmware-dead", (-29, -110, 0)),  # ours waits for ten seconds that are real
    ],
)
def test_where_only_firmware_knows_the_device_log_we_ask_it_as_the_kernel_does(
    library: Path, firmware: str, codes: tuple[int, int, int]
) -> None:
    faults = ("no-devlog-pointer", firmware)
    theirs, their_accesses = by_kernel(library, emulated(small("t62100-cr", *faults)))
    ours, our_accesses = by_us(small("t62100-cr", *faults))
    assert dump.read(theirs).entities[DEV_LOG].codes == codes
    assert_alike(theirs, ours)
    assert our_accesses == their_accesses


@pytest.mark.parametrize("fault", sorted(NO_DUMP))
def test_a_card_that_the_kernel_does_not_dump_we_do_not_dump(library: Path, fault: str) -> None:
    with (
        Harness(library, emulated(load("t62100-cr", fault))) as witness,
        pytest.raises(RunError, match="no dump was offered"),
    ):
        witness.probe()
    with pytest.raises(driver.ProbeError):
        driver.open_card(load("t62100-cr", fault))


@pytest.mark.parametrize("fault", ["", "le-status", "cim-obq-empty"])
@pytest.mark.parametrize("name", CARDS)
def test_what_we_leave_behind_is_what_the_kernel_leaves(
    library: Path, name: str, fault: str
) -> None:
    faults = [fault] if fault else []
    first, second = small(name, *faults), small(name, *faults)
    by_kernel(library, emulated(first))
    by_us(second)
    assert_alike(by_kernel(library, emulated(first))[0], by_kernel(library, emulated(second))[0])


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
    assert not card.oddities.totals


@pytest.mark.parametrize("name", CARDS)
def test_a_crash_kernel_takes_over_the_card_that_its_predecessor_left_running(
    library: Path, name: str
) -> None:
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
    assert not card.oddities.totals


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ("firmware-slow", 0),
        ("firmware-uninitialised", 0),
        ("firmware-error", -6),
        ("firmware-dead", -16),
    ],
)
def test_a_probe_ends_as_the_firmwares_state_has_it(library: Path, fault: str, result: int) -> None:
    with Harness(library, emulated(small("t62100-cr", fault))) as witness:
        assert witness.bring_up() == result


@pytest.mark.parametrize("name", CARDS)
def test_a_crash_kernels_whole_probe_keeps_the_dump(library: Path, name: str) -> None:
    alone, _ = by_kernel(library, emulated(small(name)))
    with Harness(library, emulated(small(name))) as witness:
        assert witness.bring_up(kdump=True) == 0
        assert_alike(alone, bytearray(witness.payload))


@pytest.mark.parametrize("name", CARDS)
def test_ethtool_dumps_a_running_card_by_way_of_its_firmware(library: Path, name: str) -> None:
    card = small(name)
    with Harness(library, emulated(card)) as witness:
        witness.bring_up()
        found = dump.read(witness.ethtool_dump())
    failed = {number for number, entity in found.entities.items() if not entity.good}
    assert failed <= {MC1, MA_INDIRECT, HMA_INDIRECT, HMA}
    assert not card.oddities.totals
