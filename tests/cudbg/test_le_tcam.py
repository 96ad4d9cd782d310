"""LE_TCAM, collected from emulated cards whose connections are known."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from carddump import CARDS, CardDump, collect, collected
from carddump import rows as rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.le import RESPONSE_WORDS
from vmcoredd.cudbg.decoded import Decoded, Fields, Item, Text
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.cudbg.entities.indirect import records as indirect_records
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.le_table import Header, Record
from vmcoredd.emu.scenario.tids import Connection
from vmcoredd.emu.silicon.le import DebugInterface

CardParts = tuple[dict[str, Item], str, dict[str, Any]]
ENTITY = entities()["LE_TCAM"]
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
HASHING = pytest.mark.parametrize("hashing", [False, True], ids=["tcam only", "hash table"])
PER_TID = 38
"""Accesses: 17 words of zeros, command, start, busy bit, status, 17 words."""
REGIONS, HASH_SIZE = 6, 1
"""Registers read before."""
ENTRY = [4 * i for i in range(RESPONSE_WORDS)]


def card_of(chip: Chip, *, hashing: bool = False, **tables: int) -> emu.Card:
    return emu.Card.load(CARDS[chip], 3, tables={"hash_filters": hashing, **tables}, strict=True)


def dumped(card: emu.Card, *others: str) -> CardDump:
    return collect(card, entities=("LE_TCAM", *others))


@cache
def seen(chip: Chip, *, hashing: bool = False) -> tuple[emu.Card, CardDump]:
    """Returns a card and its dump, for tests that only read them."""
    card = card_of(chip, hashing=hashing)
    return card, dumped(card)


def parsed(found: CardDump) -> tuple[Header, list[Record]]:
    """Returns the header and the records that were read."""
    blob = found.dump.raw("LE_TCAM")
    size = len(bytes(Record()))
    header = Header.from_bytes(blob)
    records = [Record.from_bytes(blob[at : at + size]) for at in range(24, len(blob), size)]
    return header, [record for record in records if record.dbig_rsp_stat & 1]


def rows(found: CardDump) -> dict[int, list[object]]:
    """Returns the decoder's rows by TID."""
    table = next(
        part for part in found.dump.decode("LE_TCAM") if part.title.startswith("entries in use")
    )
    return {row[0]: row[1:] for row in table.rows}


def expected(connection: Connection) -> list[object]:
    return [
        str(ipaddress.ip_address(connection.local)),
        connection.local_port,
        str(ipaddress.ip_address(connection.remote)),
        connection.remote_port,
    ]


@CHIPS
@HASHING
def test_every_connection_is_found_by_its_tid(chip: Chip, hashing: bool) -> None:
    card = card_of(chip, hashing=hashing, connections=60)
    connections = card.scenario.tid_table.connections
    found = rows(dumped(card))
    assert len(connections) == 60
    for connection in connections:
        region = "hash" if connection.tid >= card.scenario.tid_table.regions.hash_base else "active"
        assert found[connection.tid][:5] == [region, *expected(connection)]


@CHIPS
def test_servers_filters_and_local_addresses_are_found_in_their_regions(chip: Chip) -> None:
    card, dump = seen(chip)
    lookup, found = card.scenario.tid_table, rows(dump)
    assert {found[server.tid][0] for server in lookup.servers} == {"server"}
    filters = {"filter"} if chip is not T6 else {"filter", "high-priority filter"}
    assert {found[item.tid][0] for item in lookup.filters} == filters
    for tid, address in lookup.local_ipv6:
        assert found[tid][:2] == ["CLIP", str(ipaddress.ip_address(address))]


@CHIPS
@HASHING
def test_le_tcam_makes_the_kernels_accesses(chip: Chip, hashing: bool) -> None:
    _, found = seen(chip, hashing=hashing)
    header, records = parsed(found)
    before = REGIONS + HASH_SIZE * hashing
    assert found.entity("LE_TCAM").counts.total == before + PER_TID * len(records)
    assert len(records) < header.max_tid


@CHIPS
def test_without_ipv6_every_tid_is_read(chip: Chip) -> None:
    card = card_of(chip)
    card.model(DebugInterface).entries.words[:] = memoryview(bytes(4 * (1 << 16) * 17)).cast("I")
    found = dumped(card)
    header, records = parsed(found)
    assert [record.tid for record in records] == list(range(header.max_tid))
    facts = {5: 77_830, 6: 175_110}
    assert found.entity("LE_TCAM").counts.total == facts[chip.version]


def steps(found: CardDump) -> dict[int, int]:
    """Returns the distance from each TID that was read to the next."""
    _, records = parsed(found)
    return {a.tid: b.tid - a.tid for a, b in pairwise(records)}


def test_an_ipv6_entry_takes_two_tids_and_four_in_the_t6s_clip_table() -> None:
    card, found = seen(T6)
    wide = {c.tid for c in card.scenario.tid_table.connections if c.is_ipv6}
    local = {tid for tid, _ in card.scenario.tid_table.local_ipv6}
    assert wide
    assert local
    for tid, step in steps(found).items():
        assert step == (4 if tid in local else 2 if tid in wide else 1)


def test_the_driver_takes_a_t6s_hash_table_for_filters_and_reads_both_tids_of_ipv6() -> None:
    card, found = seen(T6, hashing=True)
    base = card.scenario.tid_table.regions.hash_base
    wide = [c.tid for c in card.scenario.tid_table.connections if c.is_ipv6 and c.tid >= base]
    assert wide
    assert {steps(found)[tid] for tid in wide} == {1}


@CHIPS
def test_an_ipv6_connection_with_more_than_tcp_in_its_filter_tuple_is_read_twice(
    chip: Chip,
) -> None:
    card = card_of(chip)
    wide = next(c.tid for c in card.scenario.tid_table.connections if c.is_ipv6)
    card.model(DebugInterface).entries.words[RESPONSE_WORDS * wide + 9] |= 2  # also a port
    _, records = parsed(dumped(card))
    assert wide + 1 in {record.tid for record in records}


@CHIPS
def test_the_registers_keep_the_last_entry_read(chip: Chip) -> None:
    card, found = seen(chip)
    _, records = parsed(found)
    assert card.read(chip.r.LE_DB_DBGI_REQ_TCAM_CMD) == 4 << 20 | records[-1].tid
    assert card.read(chip.r.LE_DB_DBGI_RSP_STATUS) == records[-1].dbig_rsp_stat
    words = [card.read(chip.r.LE_DB_DBGI_RSP_DATA + offset) for offset in ENTRY]
    assert words == list(records[-1].data)


@CHIPS
def test_a_busy_debug_register_gives_an_empty_table_with_a_warning(chip: Chip) -> None:
    card = card_of(chip)
    card.fail("le-busy")
    found = dumped(card, "CCTRL")
    entity, blob = found.entity("LE_TCAM"), found.dump.raw("LE_TCAM")
    assert (entity.code, entity.sys_err, entity.sys_warn) == (0, 0, -41)
    assert Header.from_bytes(blob).max_tid == 0
    first = Record.from_bytes(blob[24:])
    assert (first.tid, first.dbig_cmd, first.dbig_conf, first.dbig_rsp_stat) == (0, 4 << 20, 5, 0)
    assert not any(blob[24 + 16 :])
    assert rows(found) == {}
    assert found.entity("CCTRL").good


@CHIPS
def test_an_invalid_status_ends_the_table_there(chip: Chip) -> None:
    card = card_of(chip)
    card.fail("le-status")
    end = card.scenario.tid_table.regions.servers // 2
    found = dumped(card, "CCTRL")
    entity = found.entity("LE_TCAM")
    header, records = parsed(found)
    assert (entity.code, entity.sys_warn) == (0, -41)
    assert header.max_tid == end
    assert records[-1].tid in (end - 1, end - 2)
    assert card.read(chip.r.LE_DB_DBGI_REQ_TCAM_CMD) == 4 << 20 | end
    assert found.entity("CCTRL").good


def hash_tids(card: emu.Card, tids: int) -> emu.Card:
    """Sets the table's length."""
    spaces, r = card.core.spaces, card.chip.r
    spaces.set(r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=1))
    spaces.set(r.LE_DB_HASH_CONFIG, tids - 3072 - 1536)
    return card


def test_the_largest_table_that_fits_is_dumped() -> None:
    found = dumped(hash_tids(card_of(T6), 49_931))
    header, _ = parsed(found)
    assert found.entity("LE_TCAM").good
    assert header.max_tid == 49_931
    assert set(rows(found)) == set(rows(seen(T6)[1]))


def test_a_table_with_one_more_tid_does_not_fit() -> None:
    entity = dumped(hash_tids(card_of(T6), 49_932)).entity("LE_TCAM")
    assert (entity.code, entity.sys_err, entity.counts.total) == (-19, 0, REGIONS + HASH_SIZE)


def one_at_a_time(card: emu.Card, header: Header) -> Iterator[int]:
    """Yields the TIDs that a driver reads if it waits for each and examines the entry itself."""
    words = card.model(DebugInterface).entries.words
    tid = 0
    while tid < header.max_tid:
        yield tid
        data = words[RESPONSE_WORDS * tid : RESPONSE_WORDS * (tid + 1)]
        wide = tid % 2 == 0 and data[16] & 0x8000
        if tid < header.server_start:
            wide = wide and data[9] == 0x00C00000
        elif tid < max(header.tid_hash_base, header.clip_start):
            wide = False
        in_clip = header.clip_start <= tid < header.clip_start + 1536
        tid += (4 if in_clip else 2) if wide else 1


@pytest.fixture(scope="module", params=[50, 1 << 13], ids=lambda ahead: f"{ahead} ahead")
def empty(request: pytest.FixtureRequest) -> Iterator[emu.Card]:
    """A card without entries; its table is read in parts of `request.param` TIDs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vmcoredd.cudbg.le_table._AHEAD", request.param)
        yield card_of(T6, connections=0, filters=0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 4607), max_size=60), st.integers(2560, 3100))
def test_entries_read_ahead_are_those_read_one_at_a_time(
    empty: emu.Card, wide: Sequence[int], clip: int
) -> None:
    empty.core.spaces.set(T6.r.LE_DB_CLCAM_TID_BASE, clip)
    words = empty.model(DebugInterface).entries.words
    words[:] = memoryview(bytes(4 * len(words))).cast("I")
    for tid in wide:
        words[RESPONSE_WORDS * tid + 16], words[RESPONSE_WORDS * tid + 9] = 0x8000, 0x00C00000
    header, records = parsed(dumped(empty))
    assert [record.tid for record in records] == list(one_at_a_time(empty, header))


def test_a_table_that_claims_more_tids_than_it_has_is_refused() -> None:
    header = Header(max_tid=3)
    blob = bytes(header) + bytes(2 * 84)
    with pytest.raises(DumpFormatError, match="LE_TCAM: need 276 bytes, have 192"):
        ENTITY.decode(blob, T6)


def shown(
    chip: Chip, mode: int | None, tuple_words: tuple[int, int] = (0, 0), ingress: int = 0
) -> CardParts:
    """Decodes one IPv4 connection at TID 0 with this filter tuple, under TP_VLAN_PRI_MAP `mode`."""
    record = Record(dbig_rsp_stat=1)
    record.data[:5] = (1, 2, 3, *tuple_words)
    routing = 0 if chip is T6 else 18000
    starts = {"server_start": 8000, "filter_start": 12000, "clip_start": 16000}
    header = Header(**starts, tid_hash_base=20000, routing_start=routing, max_tid=1)
    others = {} if mode is None else {"TP_INDIRECT": indirect(chip, mode, ingress)}
    found, text, table = ENTITY.decode_with(bytes(header) + bytes(record), others, chip)
    assert isinstance(found, Fields)
    assert isinstance(text, Text)
    (row,) = rows_of(Decoded([table]))
    return {item.name: item for item in found.items}, " ".join(text.lines), row


def indirect(chip: Chip, mode: int, ingress: int) -> bytes:
    """TP_INDIRECT of a card with another TP_VLAN_PRI_MAP and TP_INGRESS_CONFIG."""
    area = bytearray(collected(chip).dump.raw("TP_INDIRECT"))
    ranges = [item for group in ("tp_pio", "tp_tm_pio", "tp_mib") for item in chip.indirect(group)]
    for item, record, _ in indirect_records(memoryview(area), ranges):
        if item.space == "tp_pio" and chip.r.TP_VLAN_PRI_MAP in item.indices:
            record.outbuf[item.indices.index(chip.r.TP_VLAN_PRI_MAP)] = mode
            record.outbuf[item.indices.index(chip.r.TP_INGRESS_CONFIG)] = ingress
    return bytes(area)


@pytest.mark.parametrize(
    ("mode", "words", "fields"),
    [
        (0x20, (6, 0), "protocol=0x6"),
        (0x2B, (6 << 21, 0), "protocol=0x6"),
        (0x32B, (5 << 29 | 6 << 21, 1), "protocol=0x6 mpshittype=0x5 fragmentation=0x1"),
        (0x3FF, (1 | 5 << 1, 0), "fcoe=0x1 port=0x5"),
        (0xE000, (6, 0), ""),
    ],
)
def test_a_filter_tuple_has_the_fields_that_tp_vlan_pri_map_selects(
    mode: int, words: tuple[int, int], fields: str
) -> None:
    _, text, row = shown(T6, mode, words)
    assert row["fields"] == fields
    assert f"TP_VLAN_PRI_MAP {mode:#x}" in text


@pytest.mark.parametrize(
    ("ingress", "meaning"), [(1 << 11, "the id of a virtual interface"), (0, "an outer VLAN tag")]
)
def test_what_a_vnic_id_is_follows_from_tp_ingress_config(ingress: int, meaning: str) -> None:
    assert f"vnic_id is {meaning}" in shown(T6, 0x3FF, ingress=ingress)[1]
    assert "vnic_id is" not in shown(T6, 0x2B, ingress=ingress)[1]


def test_without_its_mode_a_filter_tuple_has_no_fields_and_the_screen_says_so() -> None:
    _, text, row = shown(T6, None, (6, 0))
    assert (row["filter tuple"], row["fields"]) == (6, "")
    assert "TP_VLAN_PRI_MAP, which the dump does not tell" in text


@CHIPS
def test_the_order_of_addresses_is_marked_as_assumed(chip: Chip) -> None:
    _, found = seen(chip)
    assert [p for p in found.dump.decode("LE_TCAM") if "order of addresses and ports" in p.title]
    assert "assumed" in shown(chip, None)[1]


def test_a_t5s_starts_are_quarters_of_tids() -> None:
    _, found = seen(T5)
    starts = next(part for part in found.dump.decode("LE_TCAM") if isinstance(part, Fields))
    server = next(item for item in starts.items if item.name == "server_start")
    tids = emu.Card.load("t520-cr", 3).scenario.tid_table.regions.servers
    assert server.value == 4 * tids
    assert server.meaning == f"server region: TID {tids}, in units of 1/4 TID"


def test_a_t6s_routing_start_is_that_of_the_active_region() -> None:
    items, _, _ = shown(T6, None)
    assert items["routing_start"].meaning.startswith("active region: TID 0")
    assert shown(T5, None)[0]["routing_start"].meaning.startswith("routing region")


def test_a_count_that_is_far_too_large_keeps_the_records_that_are_there() -> None:
    record = Record(dbig_rsp_stat=1, tid=7)
    record.data[:3] = (1, 2, 3)
    blob = bytes(Header(max_tid=0x80000000)) + bytes(record) + bytes(len(bytes(record)))
    said, *_, table = ENTITY.decode(blob, T6)
    assert said.title == "fewer records than max_tid tells"
    assert [row["TID"] for row in rows_of(Decoded([table]))] == [7]


@pytest.mark.parametrize(("hashen", "region"), [(0, "filter"), (1, "hash"), (None, "hash")])
def test_a_hash_region_is_one_only_if_hashing_is_on(hashen: int | None, region: str) -> None:
    record = Record(dbig_rsp_stat=1, tid=600)
    record.data[:3] = (1, 2, 3)
    starts = {"server_start": 100, "filter_start": 200, "clip_start": 900}
    header = Header(**starts, tid_hash_base=500, max_tid=1)
    others = {}
    if hashen is not None:
        config = T6.r.LE_DB_CONFIG.of(HASHEN=hashen)
        others["TID_INFO"] = bytes(TidLayout(le_db_conf=config))
    decoded = ENTITY.decode_with(bytes(header) + bytes(record), others, T6)
    (row,) = rows_of(decoded, "entries in use")
    assert row["region"] == region
    meaning = next(
        item.meaning
        for part in decoded
        if isinstance(part, Fields)
        for item in part.items
        if item.name == "tid_hash_base"
    )
    assert ("not used: HASHEN" in meaning) == (hashen == 0)
    assert ("if hashing is on" in meaning) == (hashen is None)
