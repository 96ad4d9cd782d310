"""CIM_QCFG, CIM_IBQ_*, CIM_OBQ_*, PBT_TABLE: the embedded processor's queues and tables."""

from __future__ import annotations

import pytest
from carddump import CARDS, collect, collected, rows, small
from ramcard import RamCard
from ramdump import CIM_BUSY, CIM_CTRL, cim, codes, delayed, dumped, writes

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.entities.cim_queues import QueueLayout
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.hw.io import Counts

# CIM_QCFG

ENTITY = entities()["CIM_QCFG"]


def qcfg_collected(card: RamCard) -> tuple[cudbg.Collected, bytes]:
    """Returns the entity's report and its raw bytes."""
    buffer = bytearray(8192)
    report = cudbg.collect(
        card.io(), cudbg.Device(T6, 0), memoryview(buffer), entities=["CIM_QCFG"], compress="none"
    )
    return report.entities[0], bytes(buffer[3800:4160])


def test_cim_qcfg_scales_base_size_and_threshold_to_bytes() -> None:
    card = RamCard()
    card.put(T6.r.CIM_QUEUE_CONFIG_CTRL, 0x3F << 24 | 0x11 << 16 | 0x1FF)
    entity, blob = qcfg_collected(card)
    assert entity.good
    assert blob[0] == 0x60
    assert int.from_bytes(blob[2:4], "little") == 0x11 * 256
    assert int.from_bytes(blob[30:32], "little") == 0x3F * 256
    assert int.from_bytes(blob[58:60], "little") == 0x1FF * 8


def test_cim_qcfg_makes_the_kernels_246_accesses() -> None:
    entity, _ = qcfg_collected(RamCard())
    assert entity.counts == Counts(r32=160, w32=86)


def test_cim_qcfg_does_not_access_a_busy_processor() -> None:
    card = RamCard()
    ctrl = T6.r.CIM_HOST_ACC_CTRL
    card.put(ctrl, ctrl.mask("HostBusy"))
    entity, _ = qcfg_collected(card)
    assert (entity.code, entity.sys_err) == (-29, -16)
    assert card.log == [("r", int(ctrl), 4)]


def test_cim_qcfg_refuses_a_short_blob() -> None:
    with pytest.raises(DumpFormatError, match="CIM_QCFG: need 360 bytes, have 359"):
        ENTITY.decode(bytes(359), T6)


RX_QUEUES = {
    T6: {"read": 0x2D0, "write": 0x2E0, "packets begun": 2300, "ended": 2300, "free bytes": 2032},
    T5: {"read": 0x70, "write": 0xB0, "packets begun": 3244, "ended": 3244, "free bytes": 1984},
}


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_state_of_the_receive_queues_comes_from_the_shadow_registers(chip: Chip) -> None:
    row = collected(chip).table("CIM_QCFG", "outbound queues")[6]
    assert row["queue"] == "SGE0-RX"
    assert row.items() >= RX_QUEUES[chip].items()


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_without_the_shadow_registers_the_state_of_the_receive_queues_is_not_known(
    chip: Chip,
) -> None:
    decoded = ENTITY.decode(collected(chip).dump.raw("CIM_QCFG"), chip)
    row = rows(decoded, "SGE0-RX and SGE1-RX is not in the dump")[7]
    assert (row["base"], row["size"]) == (0x3800, 2048)
    assert all(row[name] is None for name in RX_QUEUES[chip])


def test_a_pointer_before_its_queue_wraps_as_in_debugfs() -> None:
    blob = bytearray(collected(T6).dump.raw("CIM_QCFG"))
    position = QueueLayout.obq_wr.offset + 8 * OUTBOUND.index("SGE")
    blob[position : position + 4] = bytes(4)
    row = rows(ENTITY.decode(blob, T6), "outbound queues")[OUTBOUND.index("SGE")]
    assert (row["base"], row["write"]) == (0x2000, 0xFFFFE000)


# CIM_IBQ_*, CIM_OBQ_*

SELECT, SIZES = 0x7B48, 0x7B4C  # CIM_QUEUE_CONFIG_REF, _CTRL
IBQ, IBQ_DATA, OBQ, OBQ_DATA = 0x7B60, 0x7B68, 0x7B64, 0x7B6C
BUSY, ENABLE = 2, 1
INBOUND = ("TP0", "TP1", "ULP", "SGE0", "SGE1", "NCSI")
OUTBOUND = ("ULP0", "ULP1", "ULP2", "ULP3", "SGE", "NCSI", "RXQ0", "RXQ1")


def queue_memory() -> RamCard:
    """Makes words that hold their address; outbound queue n has n + 1 units from unit 16 n on."""
    card = RamCard()
    for config, data in ((IBQ, IBQ_DATA), (OBQ, OBQ_DATA)):

        def fetch(value: int, data: int = data) -> None:
            if value & ENABLE:
                card.put(data, value >> 16)

        card.on_write[config] = fetch

    def select(value: int) -> None:
        assert value & 0x18 == 0x10
        card.put(SIZES, (value % 8 + 1) << 24 | 16 * (value % 8) << 16)

    card.on_write[SELECT] = select
    return card


@pytest.mark.parametrize("number", range(6))
def test_an_inbound_queue_has_512_words(number: int) -> None:
    entity, blob = dumped(queue_memory(), T5, f"CIM_IBQ_{INBOUND[number]}")
    assert u32s(blob) == tuple(range(512 * number, 512 * (number + 1)))
    assert entity.counts.total == 1537


@pytest.mark.parametrize("number", range(8))
def test_the_configuration_gives_an_outbound_queues_size_and_base(number: int) -> None:
    card = queue_memory()
    card.on_write[SELECT](0x10 | number)
    word = card.word(SIZES)
    base, size = word >> 16 & 0x3F, word >> 24
    entity, blob = dumped(card, T6, f"CIM_OBQ_{OUTBOUND[number]}")
    assert u32s(blob) == tuple(64 * base + i for i in range(64 * size))
    assert entity.counts.total == 4 + 3 * 64 * size + 1


@pytest.mark.parametrize(("name", "config"), [("CIM_IBQ_TP0", IBQ), ("CIM_OBQ_SGE", OBQ)])
def test_the_debug_register_is_left_at_zero(name: str, config: int) -> None:
    card = queue_memory()
    fetch, written = card.on_write[config], writes(card, config)
    card.on_write[config] = lambda value: (written.append(value), fetch(value))[1]
    dumped(card, T5, name)
    assert written[-1] == 0


def test_an_outbound_queue_may_be_busy_at_one_poll() -> None:
    card = queue_memory()
    delayed(card, OBQ, BUSY, reads=1)
    entity, blob = dumped(card, T5, "CIM_OBQ_ULP1")
    assert u32s(blob)[:2] == (16 * 64, 16 * 64 + 1)
    assert entity.counts.total == 4 + 3 * 64 * 2 + 1 + 1


def test_an_outbound_queue_that_is_busy_at_two_polls_fails() -> None:
    card = queue_memory()
    delayed(card, OBQ, BUSY, reads=2)
    entity, _ = dumped(card, T5, "CIM_OBQ_ULP1")
    assert codes(entity) == (-29, -11, 0)
    assert entity.counts.total == 4 + 3


def test_an_inbound_queue_may_stay_busy_for_long() -> None:
    card = queue_memory()
    delayed(card, IBQ, BUSY, reads=1000)
    entity, blob = dumped(card, T5, "CIM_IBQ_ULP")
    assert u32s(blob)[0] == 2 * 512
    assert entity.counts.total == 1537 + 1000


def test_an_outbound_queue_of_size_zero_fails() -> None:
    card = RamCard()
    entity, _ = dumped(card, T6, "CIM_OBQ_NCSI")
    assert codes(entity) == (-29, -29, 0)
    assert entity.counts.total == 4 + 1


@pytest.mark.parametrize("units", [1, 4])
def test_the_profile_gives_the_size_of_a_cards_queues(units: int) -> None:
    made = collect(small(T6, queues={"obq_size": units}), entities=("CIM_OBQ_SGE",))
    assert made.dump.size("CIM_OBQ_SGE") == 256 * units


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_queue_holds_what_its_scenario_put_there(chip: Chip) -> None:
    made = collected(chip)
    queues = made.card.scenario.cim_queues
    for names, prefix, found in (
        (INBOUND, "IBQ", queues.inbound),
        (OUTBOUND, "OBQ", queues.outbound),
    ):
        for name, queue in zip(names, found, strict=True):
            assert u32s(made.dump.raw(f"CIM_{prefix}_{name}")) == queue.content


def test_rows_of_sixteen_bytes_are_shown_with_their_offset() -> None:
    found = collected(T5).table("CIM_IBQ_TP1")
    assert [row["offset"] for row in found] == list(range(0, 2048, 16))
    assert len({row["+0"] for row in found}) > 16


# PBT_TABLE

TABLES = ((0x2800, 8), (0x2840, 16), (0x3000, 8), (0x3800, 512))


def test_the_tables_are_adjacent_and_read_word_by_word() -> None:
    card = RamCard()
    cim(card).update((address, address) for address in range(0, 0x5000, 4))
    entity, blob = dumped(card, T6, "PBT_TABLE")
    addresses = [start + 4 * i for start, words in TABLES for i in range(words)]
    assert u32s(blob) == tuple(addresses)
    assert entity.counts.total == 4 * 544


def test_pbt_table_fails_if_the_processor_is_busy() -> None:
    card = RamCard()
    card.put(CIM_CTRL, CIM_BUSY)
    assert codes(dumped(card, T5, "PBT_TABLE")[0]) == (-29, -16, 0)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_every_word_is_shown_with_its_table(chip: Chip) -> None:
    found = collected(chip).table("PBT_TABLE")
    assert [row["table"] for row in found[:9]] == ["pbt_dynamic"] * 8 + ["pbt_static"]
    assert found[-1]["address"] == 0x3800 + 4 * 511


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_cards_valid_entries_are_pages_of_the_processors_memory(chip: Chip) -> None:
    found = [row["fields"] for row in collected(chip).table("PBT_TABLE")[:24]]
    region = collected(chip).card.scenario.memory_map["uP RAM"]
    for fields in found:
        assert (fields["valid"], fields["allocated"], fields["pending"]) == (1, 1, 0)
        assert region.base <= fields["address"] < region.base + region.size
        assert not fields["address"] % 4096


def test_an_entry_of_the_address_tables_has_fields_and_one_of_the_others_none() -> None:
    raw = bytearray(collected(T6).dump.raw("PBT_TABLE"))
    raw[:4] = (1 << 28 | 1 << 26 | 0x123).to_bytes(4, "little")
    found = rows(entities()["PBT_TABLE"].decode(bytes(raw), T6))
    assert found[0]["fields"] == {"valid": 1, "allocated": 0, "pending": 1, "address": 0x48C0}
    assert found[24]["table"] == "lrf_table"
    assert found[24]["fields"] == {}
