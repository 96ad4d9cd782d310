"""MEMINFO: memories, regions and holes, from registers."""

from __future__ import annotations

from typing import Any

import pytest
from carddump import collect, rows
from hypothesis import given
from hypothesis import strategies as st
from ramcard import RamCard
from ramdump import codes, dumped

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import UnknownFormat
from vmcoredd.cudbg.meminfo import heapsort

# MEMINFO

ENTITY = entities()["MEMINFO"]
MIB = 1 << 20


def card(chip: Chip, **words: int) -> RamCard:
    made = RamCard()
    for name, value in words.items():
        made.put(chip.r[name], value)
    return made


def decoded(made: RamCard, chip: Chip, title: str) -> list[dict[str, Any]]:
    entity, blob = dumped(made, chip, "MEMINFO")
    assert entity.good
    return rows(ENTITY.decode(blob, chip), title)


def test_meminfo_lists_memories_by_address_in_mib() -> None:
    made = card(
        T6,
        MA_TARGET_MEM_ENABLE=0b100111,
        MA_EDRAM0_BAR=4 << 16 | 2,
        MA_EDRAM1_BAR=2 << 16 | 2,
        MA_EXT_MEMORY0_BAR=16 << 16 | 8,
        MA_EXT_MEMORY1_BAR=0 << 16 | 1,
    )
    found = decoded(made, T6, "memories")
    assert [(row["memory"], row["from"], row["size"]) for row in found] == [
        ("HMA", 0, MIB),
        ("EDC1", 2 * MIB, 2 * MIB),
        ("EDC0", 4 * MIB, 2 * MIB),
        ("MC", 16 * MIB, 8 * MIB),
    ]


def test_meminfo_lists_two_external_memories_of_a_t5() -> None:
    made = card(
        T5,
        MA_TARGET_MEM_ENABLE=0b10100,
        MA_EXT_MEMORY0_BAR=1,
        MA_EXT_MEMORY1_BAR=1 << 16 | 1,
    )
    assert [row["memory"] for row in decoded(made, T5, "memories")] == ["MC0", "MC1"]


@pytest.mark.parametrize("chip", [T5, T6])
def test_meminfo_without_any_memory_is_not_found(chip: Chip) -> None:
    entity, _ = dumped(RamCard(), chip, "MEMINFO")
    assert (codes(entity), entity.counts.total) == ((-29, -24, 0), 1)


def test_meminfo_region_without_a_limit_ends_where_the_next_begins() -> None:
    made = card(
        T6,
        MA_TARGET_MEM_ENABLE=1,
        MA_EDRAM0_BAR=2,
        SGE_DBQ_CTXT_BADDR=0x1000,
        SGE_IMSG_CTXT_BADDR=0x8000,
        TP_CMM_TCB_BASE=0x4000,
    )
    found = {row["region"]: row for row in decoded(made, T6, "regions")}
    assert (found["DBQ contexts"]["from"], found["DBQ contexts"]["to"]) == (0x1000, 0x3FFF)
    assert (found["TCBs"]["to"], found["IMSG contexts"]["to"]) == (0x7FFF, 2 * MIB - 1)


def test_meminfo_payload_ends_with_its_pages() -> None:
    made = card(
        T6,
        MA_TARGET_MEM_ENABLE=1,
        MA_EDRAM0_BAR=2,
        TP_PMM_TX_BASE=0x10000,
        TP_PMM_TX_PAGE_SIZE=4096,
        TP_PMM_TX_MAX_PAGE=1 << 30 | 3,
    )
    found = {row["region"]: row for row in decoded(made, T6, "regions")}
    assert found["Tx payload"]["size"] == 3 * 4096


def test_meminfo_has_a_hash_region_only_if_hashing_is_on() -> None:
    words = {"MA_TARGET_MEM_ENABLE": 1, "MA_EDRAM0_BAR": 2}
    off = decoded(card(T6, **words), T6, "regions")
    assert "LE hash" not in {row["region"] for row in off}
    on = card(T6, **words, LE_DB_CONFIG=1 << 20, LE_DB_HASH_TBL_BASE_ADDR=0x3000)
    entity, blob = dumped(on, T6, "MEMINFO")
    assert entity.counts.total == 1 + 1 + 16 + 2 + 18 + 2 + 16 + 6
    assert {r["region"]: r["from"] for r in rows(ENTITY.decode(blob, T6), "regions")}[
        "LE hash"
    ] == 0x3000


@pytest.mark.parametrize("chip", [T5, T6])
def test_meminfo_refuses_another_size_or_signature(chip: Chip) -> None:
    head = bytes.fromhex("01b0edcc 0100 2802")
    with pytest.raises(UnknownFormat, match="MEMINFO: need 560 bytes, have 559"):
        ENTITY.decode(head + bytes(551), chip)
    with pytest.raises(UnknownFormat, match="MEMINFO: need 560 bytes, have 7"):
        ENTITY.decode(head[:7], chip)
    with pytest.raises(UnknownFormat, match="MEMINFO: signature 0x0"):  # as older kernels wrote it
        ENTITY.decode(bytes(552), chip)


def test_a_memory_of_an_unknown_kind_has_a_number() -> None:
    _, blob = dumped(card(T6, MA_TARGET_MEM_ENABLE=1, MA_EDRAM0_BAR=2), T6, "MEMINFO")
    strange = bytearray(blob)
    strange[8 + 8] = 9
    assert rows(ENTITY.decode(bytes(strange), T6), "memories")[0]["memory"] == "memory 9"


@pytest.mark.parametrize(
    ("chip", "of", "loopbacks"), [(T5, "channel", 4), (T6, "MAC buffer group", 2)]
)
def test_pages_are_those_of_channels_or_of_a_t6s_buffer_groups(
    chip: Chip, of: str, loopbacks: int
) -> None:
    words = {"MA_TARGET_MEM_ENABLE": 1, "MA_EDRAM0_BAR": 2}
    found = decoded(card(chip, **words), chip, f"buffer pages of each {of}")
    assert [row["of"] for row in found] == ["port"] * 4 + ["loopback"] * loopbacks
    assert [row[of] for row in found] == [*range(4), *range(loopbacks)]


# The kernel's order of equal elements


def by_key(a: tuple[int, int], b: tuple[int, int]) -> int:
    return a[0] - b[0]


@given(st.lists(st.integers(0, 5)))
def test_heapsort_sorts(keys: list[int]) -> None:
    assert heapsort(keys, lambda a, b: a - b) == sorted(keys)


def test_heapsort_leaves_equal_elements_in_the_kernels_order() -> None:
    # the order in which lib/sort.c (6.1) leaves six elements, four of them equal
    items = [(0, 0), (0, 1), (1, 2), (0, 3), (0, 4), (2, 5)]
    assert heapsort(items, by_key) == [(0, 1), (0, 0), (0, 3), (0, 4), (1, 2), (2, 5)]


def test_heapsort_takes_an_empty_list() -> None:
    assert heapsort([], by_key) == []


@pytest.mark.parametrize("name", list(emu.profiles()))
def test_no_card_has_more_free_pages_than_pages(name: str) -> None:
    dump = collect(emu.Card.load(name, strict=True), entities=("MEMINFO",)).dump
    info = meminfo_of(dump.blob("MEMINFO"))
    assert 0 < info.free_rx_cnt <= info.rx_pages_data[0]
    assert 0 < info.free_tx_cnt <= info.tx_pages_data[0]
    assert 0 < info.p_structs_free_cnt <= info.p_structs
