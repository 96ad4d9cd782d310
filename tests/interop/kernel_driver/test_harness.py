"""The harness: it measures the driver's accesses, and survives the driver's failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.build import BuildError, build
from tests.interop.kernel_driver.comparison import differences
from tests.interop.kernel_driver.harness import Budget, Harness, Oops, Options, RunError
from tests.interop.kernel_driver.ram_card import RamCard
from tests.interop.kernel_driver.ram_firmware import PTP, VI_ENABLE, RamFirmware

pytestmark = pytest.mark.interop

SGE_INDIRECT, DUMP_CONTEXT, QDESC, DEV_LOG = 37, 56, 70, 2
#: (generation, EDC MiB each, MC MiB): r32, w32, r64, good entities. Others measured these with an
#: independent harness, before this one existed.
MEASURED = {
    (5, 0, 0): (134_922, 58_920, 1_152, 43),
    (5, 2, 8): (153_300, 66_797, 1_574_016, 48),
    (6, 0, 0): (185_444, 110_500, 128, 45),
    (6, 2, 8): (203_794, 118_377, 1_572_992, 50),
}


@pytest.fixture
def t6(library: Path) -> Iterator[Harness]:
    with Harness(library, RamCard(6, edc=1).card) as driver:
        driver.probe()
        yield driver


@pytest.mark.parametrize("memory", MEASURED, ids=str)
def test_the_driver_makes_as_many_accesses_as_were_measured(
    library: Path, memory: tuple[int, int, int]
) -> None:
    generation, edc, mc = memory
    with Harness(library, RamCard(generation, edc=edc, mc=mc).card) as driver:
        driver.probe()
        found = dump.read(driver.collect())
        counts = driver.counts.values()
    totals = tuple(sum(getattr(row, name) for row in counts) for name in ("r32", "w32", "r64"))
    good = sum(entity.good for entity in found.entities.values())
    assert (*totals, good) == MEASURED[memory]


def test_a_probe_reaches_the_dump_with_thirteen_accesses(t6: Harness) -> None:
    counts = t6.counts[0]
    assert (counts.r32, counts.w32, counts.accesses) == (9, 4, 13)
    assert t6.dump_name == "cxgb4_0000:01:00.4"


def test_every_access_belongs_to_an_entity(t6: Harness) -> None:
    found = dump.read(t6.collect())
    assert 0 not in t6.counts
    assert set(t6.counts) <= set(found.entities)
    assert t6.counts[DEV_LOG].accesses == 32_901


def test_the_kernels_header_names_every_entity(t6: Harness, kernel: Path) -> None:
    found = dump.read(t6.collect())
    names = dump.names(kernel)
    assert {names[number] for number in found.entities} >= {"REG_DUMP", "LE_TCAM", "EDC0", "HMA"}


def dumped(library: Path, *, compress: bool) -> bytearray:
    with Harness(library, RamCard(5, edc=2).card) as driver:
        driver.probe()
        return driver.collect(compress=compress)


def test_without_its_buffer_the_driver_does_not_compress(library: Path) -> None:
    packed, plain = (dump.read(dumped(library, compress=way)) for way in (True, False))
    assert (packed.compression, plain.compression) == (dump.ZLIB, dump.NONE)
    assert plain.entities[QDESC].codes == (-19, 0, -41)
    assert set(differences(packed, plain)) == {QDESC}


def test_two_fresh_cards_give_equal_dumps(library: Path) -> None:
    assert dumped(library, compress=True) == dumped(library, compress=True)


def test_a_second_dump_shows_what_the_first_left_behind(t6: Harness) -> None:
    first, second = (dump.read(t6.collect()) for _ in range(2))
    assert 1 in differences(first, second)


def test_the_unpatched_driver_oopses_at_the_state_of_a_missing_port(library: Path) -> None:
    options = Options(port_without_device=True)
    with Harness(library, RamCard(6).card, options) as driver:
        driver.probe()
        with pytest.raises(Oops, match=rf"address 0x(38|98), entity {SGE_INDIRECT}"):
            driver.collect()


def test_a_driver_without_memory_for_descriptors_loses_only_those(library: Path) -> None:
    with Harness(library, RamCard(6).card, Options(refused_size=32 << 20)) as driver:
        driver.probe()
        found = dump.read(driver.collect())
    assert found.entities[QDESC].codes == (-12, 0, 0)
    assert found.entities[DEV_LOG].good


def test_a_card_that_is_not_ready_gets_no_dump(library: Path) -> None:
    card = RamCard(6)
    card.put(0x19400, 0xFFFFFFFF)
    with Harness(library, card.card) as driver:
        with pytest.raises(RunError, match="probe returned -5"):
            driver.probe()
        assert driver.counts[0].delay_us >= 500_000


def test_a_card_whose_flash_is_busy_gets_no_dump(library: Path) -> None:
    card = RamCard(6)
    card.put(0x193FC, 1 << 31)
    with Harness(library, card.card) as driver, pytest.raises(RunError, match="probe returned -16"):
        driver.probe()


def test_a_queue_that_stays_busy_fails_its_entities_at_once(library: Path) -> None:
    card = RamCard(6)
    card.writes[0x7B64] = lambda value: card.put(0x7B64, value | 2)  # CIM_OBQ_DBG_CFG
    with Harness(library, card.card) as driver:
        driver.probe()
        found = dump.read(driver.collect())
        waited = driver.counts[12].delay_us
    assert {number for number, entity in found.entities.items() if entity.sys_err == -11} == {
        *range(12, 18),
        47,
        48,
    }
    assert waited == 1


def test_a_run_ends_when_its_accesses_are_used_up(library: Path) -> None:
    with Harness(library, RamCard(6).card, Options(access_budget=1000)) as driver:
        driver.probe()
        with pytest.raises(Budget, match="1000 accesses, the last to 0x"):
            driver.collect()


def test_a_refused_read_returns_all_ones(library: Path) -> None:
    card = RamCard(6)
    whole = card.bar0_access

    def refusing(offset: int, length: int, data: bytes | None) -> bytes | None:
        if offset == 0x7D90:
            raise OSError("refused")
        return whole(offset, length, data)

    card.bar0_access = refusing  # type: ignore[method-assign]
    with Harness(library, card.card, Options(tracing=True)) as driver:
        driver.probe()
        driver.collect()
        refused = {(a.offset, a.value) for a in driver.trace if a.failed}
    assert refused == {(0x7D90, 0xFFFFFFFF)}


def test_an_exception_in_a_cards_python_ends_the_run_and_is_raised(library: Path) -> None:
    card = RamCard(6)
    card.writes[0x7DEC] = lambda value: [][value]
    with Harness(library, card.card) as driver:
        driver.probe()
        with pytest.raises(IndexError):
            driver.collect()


def test_a_trace_holds_each_access_in_order(library: Path) -> None:
    with Harness(library, RamCard(6).card, Options(tracing=True)) as driver:
        driver.probe()
        bar0 = [(a.is_write, a.offset) for a in driver.trace if a.bar == 0]
    reads, writes = False, True
    assert bar0[:9] == [
        (reads, 0x19400),
        (reads, 0x19400),
        (reads, 0x1943C),
        (reads, 0x1943C),
        (reads, 0x193FC),
        (writes, 0x193F8),
        (writes, 0x193FC),
        (reads, 0x193FC),
        (reads, 0x193FC),
    ]


@pytest.mark.parametrize(("generation", "commands"), [(5, 33), (6, 36)])
def test_a_whole_probe_takes_as_many_commands_as_were_measured(
    library: Path, generation: int, commands: int
) -> None:
    firmware = RamFirmware(generation)
    with Harness(library, firmware.card) as driver:
        assert driver.bring_up() == 0
        assert driver.ports == 2
    assert len(firmware.commands) == commands


def test_a_probe_without_firmware_fails_and_keeps_the_dump(library: Path) -> None:
    firmware = RamFirmware(6)
    firmware.ram.put(0x30B8, 1 << 31)  # PCIE_FW: in error
    with Harness(library, firmware.card) as driver:
        assert driver.bring_up(kdump=True) == -6
        assert driver.ports == 0
        assert sum(entity.good for entity in dump.read(driver.payload).entities.values()) == 45


def test_interfaces_come_up_and_go_down(library: Path) -> None:
    firmware = RamFirmware(6)
    with Harness(library, firmware.card) as driver:
        driver.bring_up()
        assert driver.interface_up(0) == 0
        assert driver.has_carrier(0)
        assert not driver.has_carrier(1)
        assert driver.interface_down(0) == 0
        assert not driver.has_carrier(0)
        driver.remove()
    assert PTP in firmware.commands
    assert firmware.commands.count(VI_ENABLE) == 2


def test_ethtool_dumps_a_running_card_through_its_firmware(library: Path) -> None:
    firmware = RamFirmware(6)
    with Harness(library, firmware.card) as driver:
        driver.bring_up()
        before = len(firmware.commands)
        found = dump.read(driver.ethtool_dump())
    assert found.entities[36].good  # TP_INDIRECT
    assert len(firmware.commands) - before > 500


def test_a_folder_without_the_driver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not an unpacked kernel source"):
        build(tmp_path, tmp_path)
