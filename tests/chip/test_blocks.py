"""The chip by block: the names it uses exist, its codecs agree, and wrong values are refused."""

from __future__ import annotations

import ipaddress

import pytest
from chip_facts import CHIPS
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.chip import (
    T5,
    T6,
    Chip,
    chip_of_device,
    cim,
    devlog,
    flash,
    le,
    memory,
    pci,
    tcb,
    tp,
    vpd,
)
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.le import (
    DEFAULT_FILTER_MODE,
    ETHERTYPE_FILTER_MODE,
    FILTER_TUPLE_BITS,
    LookupEntry,
    clip_address,
    clip_words,
    filter_fields,
)
from vmcoredd.chip.model import INDIRECT_GROUPS
from vmcoredd.chip.sge import CONTEXT_WORDS, VALID_BIT, ContextType, encode_context


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_every_register_a_part_names_is_described(chip) -> None:
    regions = (
        name
        for region in memory.REGIONS
        for name in (region.base, region.limit, region.page_size, region.max_page)
        if name
    )
    named = [
        *regions,
        *chip.le.hash_region,
        *(chip.le.filter_start, chip.le.server_start, chip.le.clip_start, chip.le.routing_start),
        chip.le.hash_base,
        *chip.mps.replication_reads,
        *tp.CLOCK_REGISTERS,
        *tp.ULPTX_ASIC_REGISTERS,
        *(table.register for table in (tp.MTU_TABLE, tp.CCTRL_TABLE, tp.PACE_TABLE)),
    ]
    assert [name for name in named if name not in chip.r] == []


@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_every_field_a_memory_names_is_described(chip) -> None:
    for each in chip.memory.types:
        chip.r.MA_TARGET_MEM_ENABLE.field(each.enable)
        chip.r[each.bar].field(each.base)
        chip.r[each.bar].field(each.size)
    chip.r.SGE_DBVFIFO_SIZE.field(chip.memory.vfifo_size)
    if chip.memory.vfifo_enable:
        chip.r.SGE_CONTROL2.field(chip.memory.vfifo_enable)
    for pages in (chip.memory.port_pages, chip.memory.loopback_pages):
        chip.r[pages.register].field(pages.used)
        chip.r[pages.register].field(pages.allocated)


@pytest.mark.parametrize("group", INDIRECT_GROUPS)
@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_an_indirect_record_has_at_most_32_words_and_registers_that_exist(chip, group) -> None:
    for record in chip.indirect(group):
        assert len(record.indices) == record.words <= 32
        assert chip.r[record.address_register].access == "index"
        assert chip.r[record.data_register].access == "data"


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match="no group 'tp_poi'"):
        T6.indirect("tp_poi")


def test_only_t6_has_records_of_ma_and_hma() -> None:
    assert [len(T6.indirect(group)) for group in ("ma", "hma")] == [5, 1]
    assert [len(T5.indirect(group)) for group in ("ma", "hma")] == [0, 0]


NAMELESS = {
    "tp_pio": {T5: 8, T6: 2},
    "pcie_cdbg": {T5: 1, T6: 1},
    "pm_rx": {T5: 1, T6: 1},
    "pm_tx": {T5: 1, T6: 1},
    "ma": {T5: 0, T6: 1},
    "up_cim": {T5: 6, T6: 6},
}
"""Indirect registers that no header names."""


@pytest.mark.parametrize("group", [group for group in INDIRECT_GROUPS if group != "sge_debug"])
@pytest.mark.parametrize("chip", CHIPS, ids=repr)
def test_all_indirect_registers_but_a_known_few_have_names(chip, group) -> None:
    nameless = [
        index
        for record in chip.indirect(group)
        for index in record.indices
        if chip.r.at(index, record.space) is None
    ]
    assert len(nameless) == NAMELESS.get(group, {}).get(chip, 0)


def test_the_ranges_have_the_number_of_words_a_dump_reads() -> None:
    assert [sum(words for _, words in chip.ranges("reg_dump")) for chip in CHIPS] == [14392, 10322]
    assert [sum(words for _, words in chip.ranges("pcie_config")) for chip in CHIPS] == [91, 91]


def test_the_generation_is_the_top_nibble_of_the_device_id() -> None:
    assert chip_of_device(0x5401) is T5
    assert chip_of_device(0x640D) is T6
    with pytest.raises(ValueError, match="device id 0x4401: neither"):
        chip_of_device(0x4401)


def test_functions_below_4_share_a_device_id() -> None:
    assert [pci.device_id(0x600D, pf) for pf in (0, 3, 4)] == [0x600D, 0x600D, 0x640D]


@pytest.mark.parametrize(
    ("chip", "config", "hash_config", "hash_base", "tids"),
    [
        (T5, 0, 0, 0, 2048),
        (T5, 1 << 20, 10 << 16, 2048, 3072),
        (T6, 0, 0, 0, 3072 + 1536),
        (T6, 1 << 17, 0, 0, 6144 + 1536),
        (T6, 1 << 20, 0x800, 3072, 0x800 + 3072 + 1536),
    ],
    ids=str,
)
def test_the_number_of_tids_follows_from_the_configuration(
    chip, config, hash_config, hash_base, tids
) -> None:
    assert chip.le.max_tid(config, hash_config, hash_base) == tids


def test_hashing_and_compression_are_the_described_bits() -> None:
    assert T5.r.LE_DB_CONFIG.mask("HASHEN", "ASLIPCOMPEN") == 1 << 20 | 1 << T5.le.compression
    assert T6.r.LE_DB_CONFIG.mask("HASHEN") == 1 << 20
    assert T6.r.LE_DB_DBGI_CONFIG.get(0x5, "DBGICMDMODE") == le.LE_MODE


def test_memories_are_adjacent_in_window_addresses() -> None:
    size = 2 << 20
    numbers = {each.name: each.number for chip in CHIPS for each in chip.memory.types}
    at = {name: memory.window_address(n, size, 3 * size) for name, n in numbers.items()}
    assert at == {
        "EDC0": 0,
        "EDC1": size,
        "MC": 2 * size,
        "MC0": 2 * size,
        "MC1": 5 * size,
        "HMA": 2 * size,
    }


def test_a_memory_the_chip_cannot_have_is_refused() -> None:
    assert T6.memory.type("HMA") is memory.HMA
    with pytest.raises(KeyError):
        T5.memory.type("HMA")


def test_cim_queues_are_selected_by_direction_and_number() -> None:
    queue = cim.OUTBOUND[6]
    assert T6.r.CIM_QUEUE_CONFIG_REF.of(**{queue.select: 1, "QueNumSelect": queue.number}) == 0x16
    assert cim.INBOUND[3].name == "SGE0"


def test_flash_sizes_follow_from_the_id_and_unknown_ones_are_assumed() -> None:
    assert flash.flash_bytes(0x16BA20) == 4 << 20
    assert flash.flash_bytes(0x1740EF) == 8 << 20
    assert flash.flash_bytes(0x150201) == 4 << 20
    assert flash.flash_bytes(0x1740AA) == flash.UNKNOWN_BYTES
    assert flash.START["FW"] == 0x80000
    assert flash.START["CFG"] == 0x1F0000


def test_the_version_of_the_vpd_is_at_0x4c7_for_function_4() -> None:
    assert vpd.virtual_address(vpd.VERSION_ADDRESS, 4) == 0x4C7
    assert vpd.virtual_address(0, 4) == 31 << 10
    with pytest.raises(ValueError, match="EEPROM address 0x4400"):
        vpd.virtual_address(vpd.EEPROM_BYTES, 4)


def test_configuration_space_layouts_have_the_sizes_of_the_standard() -> None:
    kinds = (pci.ConfigHeader, pci.PmCap, pci.ExpressCap, pci.MsixCap, pci.VpdCap)
    assert [sizeof(kind) for kind in kinds] == [64, 8, 60, 12, 8]
    assert pci.ExpressCap.devsta2.offset == pci.EXP_DEVCTL2 + 2
    assert pci.ExpressCap.lnkctl.offset + 2 == pci.EXP_LNKSTA


def test_capabilities_do_not_overlap() -> None:
    sizes = {
        pci.Cap.PM: sizeof(pci.PmCap),
        pci.Cap.EXP: sizeof(pci.ExpressCap),
        pci.Cap.MSIX: sizeof(pci.MsixCap),
        pci.Cap.VPD: sizeof(pci.VpdCap),
    }
    taken = [at + i for cap, at in pci.CAP_AT.items() for i in range(sizes.get(cap, 24))]
    assert len(taken) == len(set(taken))


def test_a_log_record_has_256_bytes_and_names() -> None:
    assert sizeof(devlog.DevlogEntry) == 256
    assert devlog.level_name(2) == "ERR"
    assert devlog.facility_name(0x18) == "PORT"
    assert devlog.level_name(9) == devlog.facility_name(1 << 7) == "UNKNOWN"


# Queue contexts


ALL = [(chip, kind, False) for chip in (T5, T6) for kind in ContextType]
ALL += [(chip, ContextType.EGRESS, True) for chip in (T5, T6)]


@pytest.mark.parametrize(("chip", "kind", "free_list"), ALL, ids=str)
def test_fields_fit_a_context_and_do_not_overlap(
    chip: Chip, kind: ContextType, free_list: bool
) -> None:
    top = 32 * CONTEXT_WORDS
    for field in chip.sge.context_fields(kind, free_list=free_list):
        assert field.shift + field.width <= top
        top = field.shift


@pytest.mark.parametrize("chip", [T5, T6], ids=repr)
@pytest.mark.parametrize("kind", VALID_BIT)
def test_the_valid_bit_is_the_one_the_driver_tests(chip: Chip, kind: ContextType) -> None:
    name = "Queue_Valid" if kind == ContextType.INGRESS else "Valid"
    words = encode_context(chip.sge.context_fields(kind), **{name: 1})
    assert sum(word << 32 * i for i, word in enumerate(words)) == 1 << VALID_BIT[kind]


def test_units_scale_values() -> None:
    ingress = T6.sge.context_units(ContextType.INGRESS)
    assert ingress["QueueEntrySize"].scaled(2) == 64
    assert ingress["QueueSize"].scaled(64) == 1024
    assert ingress["BaseAddress"].scaled(0x800000) == 1 << 32


def test_a_field_that_a_context_lacks_is_refused() -> None:
    with pytest.raises(KeyError, match="SP_NS"):
        encode_context(T5.sge.context_fields(ContextType.INGRESS), SP_NS=1)


def test_a_value_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="EQid: 0x20000 does not fit 17 bits"):
        encode_context(T5.sge.context_fields(ContextType.FLM), EQid=1 << 17)


# Entries of the lookup engine


PORTS = st.integers(0, 0xFFFF)
TUPLES = st.integers(0, (1 << 64) - 1)


def addresses(version: int) -> st.SearchStrategy[bytes]:
    return st.ip_addresses(v=version).map(lambda address: address.packed)


@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(addresses(v), addresses(v))), TUPLES)
def test_an_entry_reads_back_as_written(pair: tuple[bytes, bytes], value: int) -> None:
    entry = LookupEntry(pair[0], pair[1], 40000, 80, value)
    words = entry.words()
    assert len(words) == 17
    assert LookupEntry.of_words(words) == entry


def test_the_driver_recognises_an_ipv6_connection() -> None:
    one, two = (ipaddress.ip_address(text).packed for text in ("2001:db8::1", "2001:db8::2"))
    fields = filter_fields(DEFAULT_FILTER_MODE)
    protocol = next(field for field in fields if field.name == "protocol")
    words = LookupEntry(one, two, 1, 2, protocol.put(6)).words()
    assert words[16] & 0x8000
    assert words[9] == 0x00C00000


@pytest.mark.parametrize(
    ("mode", "bits"), [(DEFAULT_FILTER_MODE, 0x32B), (ETHERTYPE_FILTER_MODE, 0x272)]
)
def test_the_fields_of_a_filter_mode_fit_into_a_tuple(mode: int, bits: int) -> None:
    assert mode == bits
    assert sum(field.width for field in filter_fields(mode)) <= FILTER_TUPLE_BITS


def test_the_filter_tuple_of_an_ipv4_entry_is_where_the_driver_reads_its_mask() -> None:
    words = LookupEntry(bytes(4), bytes(4), filter_tuple=0x1_2345_6789).words()
    assert words[3:5] == (0x23456789, 1)
    assert not words[16]


@given(addresses(6))
def test_a_local_address_reads_back_as_written(address: bytes) -> None:
    assert clip_address(clip_words(address)) == address


@pytest.mark.parametrize("layout", [tcb.TCP, tcb.FILTER], ids=["tcp", "filter"])
def test_fields_of_a_control_block_do_not_overlap(layout: tuple[tcb.Field, ...]) -> None:
    top = 8 * tcb.BYTES
    for field in layout:
        assert field.shift + field.width <= top
        top = field.shift


@given(state=st.sampled_from(tcb.TcpState), window=st.integers(0, (1 << 28) - 1))
def test_a_control_block_reads_back_as_written(state: tcb.TcpState, window: int) -> None:
    block = tcb.encode(tcb.TCP, t_state=state, rcv_wnd=window)
    assert len(block) == 128
    fields = tcb.decode(tcb.TCP, block)
    assert (fields["t_state"], fields["rcv_wnd"]) == (state, window)
    assert sum(fields.values()) == state + window
