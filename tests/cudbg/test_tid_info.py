"""TID_INFO, collected from emulated cards whose connections are known."""

from __future__ import annotations

import struct
from functools import cache

import pytest
from carddump import CARDS, CardDump, collect, rows

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.decoded import Fields, Item, Table, Text
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import UnknownFormat
from vmcoredd.hw.device import AdapterFlag

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ENTITY = entities()["TID_INFO"]
FLAGS, CONFIG, IPV4, IPV6 = 0x40, 0x44, 0x48, 0x4C


@cache
def dumped(chip: Chip, *, hashing: bool = False) -> tuple[emu.Card, CardDump]:
    card = emu.Card.load(CARDS[chip], 7, tables={"hash_filters": hashing}, strict=True)
    return card, collect(card, entities=("TID_INFO",))


def word(found: CardDump, offset: int) -> int:
    (value,) = struct.unpack_from("<I", found.dump.raw("TID_INFO"), offset)
    return int(value)


@CHIPS
@pytest.mark.parametrize("hashing", [False, True])
def test_tid_info_counts_the_connections_that_le_tcam_shows(chip: Chip, hashing: bool) -> None:
    card, found = dumped(chip, hashing=hashing)
    connections = card.scenario.tid_table.connections
    ipv6 = sum(1 for connection in connections if connection.is_ipv6)
    assert word(found, IPV4) == len(connections) - ipv6
    assert word(found, IPV6) == ipv6
    assert word(found, CONFIG) >> 20 & 1 == hashing
    assert found.entity("TID_INFO").counts.total == 3


@CHIPS
def test_ranges_that_only_the_firmware_knows_are_zero(chip: Chip) -> None:
    _, found = dumped(chip)
    raw = found.dump.raw("TID_INFO")
    assert raw[:8] == bytes.fromhex("01b0edcc 0100 9400")
    assert not any(raw[8:FLAGS])
    assert word(found, FLAGS) == 2
    assert not any(raw[0x50:])


@CHIPS
def test_the_configuration_is_shown_bit_by_bit(chip: Chip) -> None:
    _, found = dumped(chip, hashing=True)
    shown = found.fields("TID_INFO")
    assert shown["HASHEN"] == 1
    assert shown["ip_users"] + shown["ipv6_users"] == 24


def test_another_revision_is_refused() -> None:
    blob = bytes.fromhex("01b0edcc 0200 9400") + bytes(148)
    with pytest.raises(UnknownFormat, match="TID_INFO: revision 2, known is 1"):
        ENTITY.decode(blob, T6)


def test_a_driver_that_had_not_asked_the_firmware_knows_no_ranges() -> None:
    _, found = dumped(T6)
    text = found.dump.decode("TID_INFO").parts[0]
    assert isinstance(text, Text)
    assert "UNKNOWN" in text.title
    assert "The zeros in the dump mean nothing" in " ".join(text.lines)
    flags = items(found)["flags"]
    assert flags.meaning.endswith("DEV_ENABLED")


def items(found: CardDump) -> dict[str, Item]:
    parts = (part for part in found.dump.decode("TID_INFO") if isinstance(part, Fields))
    return {item.name: item for part in parts for item in part.items}


FW_OK = AdapterFlag.FW_OK | AdapterFlag.DEV_ENABLED
LOST = AdapterFlag.FULL_INIT_DONE | AdapterFlag.DEV_ENABLED | AdapterFlag.MASTER_PF


def tid_info(chip: Chip, *, hashing: bool = False, flags: int = FW_OK, **values: int) -> bytes:
    layout = TidLayout(flags=flags, **values)
    layout.version.set(1, 148)
    layout.le_db_conf = chip.r.LE_DB_CONFIG.of(HASHEN=int(hashing))
    return bytes(layout)


def ranges(chip: Chip, *, hashing: bool = False, **values: int) -> dict[str, tuple[int, ...]]:
    """The ranges of a driver that asked the firmware: one Ethernet offload id is the least."""
    blob = tid_info(chip, hashing=hashing, **{"nuotids": 1, **values})
    shown = rows(ENTITY.decode(blob, chip))
    return {row["ids"]: (row["from"], row["to"], row["number"]) for row in shown}


def test_ranges_of_ids_are_told_from_first_to_last() -> None:
    found = ranges(T6, ntids=1000, tid_start=500, nstids=480, stid_base=1500, natids=50)
    assert found["connection (TID)"] == (500, 1499, 1000)
    assert found["server (STID)"] == (1500, 1979, 480)
    assert found["being opened (ATID)"] == (0, 49, 50)
    assert found["filter (FTID)"] == (None, None, 0)


def test_with_a_hash_table_connections_have_two_ranges() -> None:
    found = ranges(T6, hashing=True, ntids=20_000, tid_start=500, sb=1500, hash_base=3072)
    assert found["connection in the TCAM"] == (500, 1499, 1000)
    assert found["connection in the hash table"] == (3072, 20_499, 17_428)
    hash_only = ranges(T6, hashing=True, ntids=20_000, hash_base=3072)
    assert "connection in the TCAM" not in hash_only


def test_a_t5_does_not_use_server_id_0_and_a_server_filters_range_ends_one_earlier() -> None:
    found = ranges(T5, nstids=10, nsftids=32, sftid_base=100)
    assert found["server (STID)"] == (1, 9, 10)
    assert found["server filter (SFTID)"] == (100, 130, 32)
    assert ranges(T6, nstids=10)["server (STID)"] == (0, 9, 10)


def test_a_range_that_ends_before_it_begins_is_none() -> None:
    found = ranges(T6, hashing=True, tid_start=500, sb=400, nuotids=-4 & 0xFFFFFFFF, nsftids=1)
    assert found["connection in the TCAM"] == (500, 399, None)
    assert found["Ethernet offload (UOTID)"] == (0, None, None)
    assert found["server filter (SFTID)"] == (None, None, 1)


@pytest.mark.parametrize(
    "evidence",
    [
        {"flags": LOST},
        {"flags": AdapterFlag.DEV_ENABLED | AdapterFlag.USING_MSIX},
        {"flags": AdapterFlag.DEV_ENABLED, "ntids": 1000},
        {"flags": AdapterFlag.DEV_ENABLED, "nftids": 496},
        {"flags": FW_OK, "ntids": 1000},  # use_backdoor
    ],
)
def test_a_driver_that_lost_the_firmware_still_knows_its_ranges(evidence: dict[str, int]) -> None:
    blob = tid_info(T6, nstids=480, stid_base=1500, **evidence)
    decoded = ENTITY.decode(blob, T6)
    text = next(part for part in decoded if isinstance(part, Text))
    assert text.title == "ranges of ids: what the driver had learned before"
    assert "uotid_base, nuotids, sb, hpftid_base, nhpftids, tid_start" in " ".join(text.lines)
    shown = {row["ids"]: row for row in rows(decoded)}
    server = shown["server (STID)"]
    assert (server["from"], server["to"], server["number"]) == (1500, 1979, 480)
    for name in ("high-priority filter (HPFTID)", "Ethernet offload (UOTID)"):
        assert shown[name]["number"] is None
        assert shown[name]["remark"].startswith("UNKNOWN")


def test_where_connections_begin_is_asked_for_each_dump_on_a_t6_only() -> None:
    for chip, first in ((T6, None), (T5, 0)):
        shown = rows(ENTITY.decode(tid_info(chip, flags=LOST, ntids=1000), chip))
        assert (shown[0]["from"], shown[0]["number"]) == (first, 1000)
        assert shown[0]["remark"].startswith("UNKNOWN") == (chip is T6)
        blob = tid_info(chip, flags=LOST, hashing=True, ntids=9000, hash_base=3072)
        tcam, hashed = rows(ENTITY.decode(blob, chip))[:2]
        assert tcam["from"] is None
        assert (hashed["from"], hashed["to"]) == (3072, None if chip is T6 else 8999)


def test_a_clock_that_only_the_firmware_tells_shows_that_the_driver_had_attached() -> None:
    blob = tid_info(T6, flags=AdapterFlag.DEV_ENABLED)
    clk = bytearray(84)
    for period, attached in ((20_000, False), (4000, True)):
        clk[72:76] = period.to_bytes(4, "little")
        decoded = ENTITY.decode_with(blob, {"CLK": bytes(clk)}, T6)
        assert any(isinstance(part, Table) for part in decoded) == attached
