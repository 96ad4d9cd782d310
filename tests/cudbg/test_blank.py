"""Bytes that were not measured: no entity shows them as values, and each says what they prove."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import sizeof
from dataclasses import replace
from functools import cache

import pytest
from carddump import CARDS, collect, collected, small, walk
from doctored import Doctored

from vmcoredd import cudbg, emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.memory import REGIONS
from vmcoredd.cudbg.blank import ALL_REGISTERS_ZERO, NOT_MEASURED, nothing_in
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import Decoded, Fields, Part, Table, Text, shown
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.cudbg.errors import CudbgError
from vmcoredd.cudbg.memory_map import Extent, Meminfo
from vmcoredd.cudbg.silent import FlatIo, read_order
from vmcoredd.driver.transports import Inproc
from vmcoredd.hw.device import AdapterFlag
from vmcoredd.hw.io import Counts, Io, Op, Rows, SingleIo, Space

ONES, ZERO = b"\xff", b"\0"
ROOM = 1 << 20
MEMORY = 4 * 64512
"""Bytes of a memory that are enough here."""
OF_THE_HOST = ("MBOX_LOG", "QDESC")
"""The driver's own data, which need no adapter."""


@cache
def raw(chip: Chip, name: str) -> bytes:
    """The bytes of the healthy card's entity, of a large one the first."""
    blob = collected(chip).dump.blob(name)
    return bytes(blob[0 : MEMORY if len(blob) > ROOM else len(blob)])


def decoded(chip: Chip, **other: bytes) -> Decoded:
    """The first of `other`, entities' bytes in the dump of a healthy card."""
    dump = Doctored(collected(chip).data)
    dump.other = other
    found = dump.decode(next(iter(other)))
    return replace(found, parts=list(walk(found)))


def decoded_of_lost(chip: Chip, name: str, data: bytes) -> Decoded:
    """An entity's bytes in the dump of a card that answered nothing later."""
    later = LATER[LATER.index(name) + 1 :]
    silent = {one: silence(chip, one, MEMORY) for one in later if (chip, one) in GOOD}
    return decoded(chip, **{name: data}, **silent)


def said(parts: Decoded) -> str:
    """All text, and the titles."""
    texts = [part for part in parts if isinstance(part, Text)]
    return "\n".join([*(p.title for p in parts), *(line for text in texts for line in text.lines)])


def rows(part: Part) -> list[list[object]]:
    """The rows of a table, none of other parts."""
    return [list(row) for row in part.rows] if isinstance(part, Table) else []


GOOD = [
    (chip, entity.name)
    for chip in CARDS
    for entity in entities().values()
    if collected(chip).dump.entity(entity.name).good
]
"""The entities that a card has."""
LATER = [name for name, entity in entities().items() if entity.stage != Stage.DRIVER]
LATER.sort(key=lambda name: (entities()[name].stage, entities()[name].number))
"""All that are read from the adapter, in the order of their collection."""


@pytest.mark.parametrize(("chip", "name"), GOOD, ids=repr)
def test_an_entity_of_ones_has_no_values_and_says_why(chip: Chip, name: str) -> None:
    found = decoded(chip, **{name: ONES * len(raw(chip, name))})
    assert [type(part) for part in found] == [Text]
    assert found.parts[0].title == NOT_MEASURED
    host = entities()[name].stage == Stage.DRIVER
    assert ("which no driver writes" in said(found)) == host
    assert ("the adapter does not answer" in said(found)) != host
    assert nothing_in(found)


@pytest.mark.parametrize(("chip", "name"), GOOD, ids=repr)
def test_an_entity_of_zeros_is_empty_or_not_measured(chip: Chip, name: str) -> None:
    found = decoded(chip, **{name: ZERO * len(raw(chip, name))})
    first = found.parts[0]
    assert first.title in ("EMPTY", NOT_MEASURED, ALL_REGISTERS_ZERO)
    assert (name == "RSS_VF_CONF") == (first.title == ALL_REGISTERS_ZERO) == (len(found.parts) > 1)


@pytest.mark.parametrize(("chip", "name"), GOOD, ids=repr)
def test_a_healthy_cards_entity_is_not_said_to_be_unmeasured(chip: Chip, name: str) -> None:
    text = said(decoded(chip, **{name: raw(chip, name)}))
    assert not any(word in text for word in (NOT_MEASURED + "\n", ALL_REGISTERS_ZERO, "PERHAPS"))


@pytest.mark.parametrize("khz", [50_000, 212_500, 250_000])
@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_nothing_that_is_collected_from_an_adapter_that_does_not_answer_has_values(
    chip: Chip, khz: int
) -> None:
    dump = collected_from(0xFF, chip, khz)
    good = [e.name for e in dump.entities if e.good and e.name not in OF_THE_HOST]
    assert len(good) >= 20
    for name in good:
        found = Decoded(list(walk(dump.decode(name))))
        assert [type(part) for part in found] == [Text], name
        empty = name in ("DUMP_CONTEXT", "MPS_TCAM") and found.parts[0].title == "EMPTY"
        assert empty or nothing_in(found), name
        assert "not answer" in said(found), name


@cache
def collected_from(byte: int, chip: Chip, khz: int = 50_000) -> cudbg.Dump:
    """A dump of small entities of an adapter that reads as `byte` only."""
    names = [e.name for e in entities().values() if e.stage != Stage.MEMORIES and e.name != "QDESC"]
    buffer = bytearray(2 * ROOM)
    device = cudbg.Device(chip, 0, cclk_khz=khz, flags=AdapterFlag.FW_OK)
    cudbg.collect(FlatIo(byte), device, memoryview(buffer), compress="none", entities=names)
    return cudbg.Dump(buffer)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_registers_that_all_read_0_are_shown_and_said(chip: Chip) -> None:
    dump = collected_from(0, chip)
    for entity in dump.entities:
        if entity.good and entity.name not in (*OF_THE_HOST, "LE_TCAM"):
            found = Decoded(list(walk(dump.decode(entity.name))))
            first = found.parts[0].title
            assert first in ("EMPTY", NOT_MEASURED, ALL_REGISTERS_ZERO), entity.name


COMPUTED = ("CLK", "HW_SCHED", "VPD_DATA", "MEMINFO", "QDESC")
"""Their bytes are not in the order of the reads, or are not read at all."""
LOST = [
    (chip, name)
    for chip, name in GOOD
    if not entities()[name].entry_bytes
    and name not in COMPUTED
    and (chip, name) != (T5, "SGE_INDIRECT")
]
"""Entities whose second half is made of ones if the adapter is lost in their middle. A T5 reads
nothing for that of SGE_INDIRECT."""


@pytest.mark.parametrize(("chip", "name"), LOST, ids=repr)
def test_what_was_read_after_an_adapter_was_lost_is_left_out(chip: Chip, name: str) -> None:
    whole = raw(chip, name)
    half = len(whole) // 8 * 4
    lost = whole[:half] + silence(chip, name, len(whole))[half:]
    found = decoded_of_lost(chip, name, lost)
    assert found.parts[0].title == NOT_MEASURED
    assert "made of all ones" in said(found)
    assert "not measured: The last " in found.incomplete
    ones = [row for part in found for row in rows(part) if row and row.count(0xFFFFFFFF) > 1]
    assert not ones


@cache
def silence(chip: Chip, name: str, size: int) -> bytes:
    """What is collected from an adapter that does not answer; ones where that fails."""
    dump = collected_from(0xFF, chip)
    known = name in [entity.name for entity in dump.entities if entity.good]
    return dump.raw(name) if known else ONES * size


INTERLEAVED = ("ULPRX_LA", "CIM_PIF_LA", "PM_STATS", "ULPTX_LA")
"""The order of the reads is not that of the bytes."""


@pytest.mark.parametrize("name", INTERLEAVED)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_order_of_the_reads_tells_what_was_lost(name: str, share: float) -> None:
    words = memoryview(bytearray(raw(T6, name))).cast("I")
    order = read_order(name, T6)
    for place in order[int(len(order) * share) :]:
        words[place] = 0xFFFFFFFF
    found = decoded_of_lost(T6, name, bytes(words))
    count = 4 * (len(order) - int(len(order) * share))
    if count < min(64, len(order)):
        assert "PERHAPS NOT MEASURED" in said(found)
    else:
        assert f"The last {count:,} bytes that were read" in said(found)
        assert not [row for part in found for row in rows(part) if row.count(0xFFFFFFFF)]


def test_the_reads_that_fill_an_entity_are_numbered_in_their_order() -> None:
    assert read_order("PCIE_CONFIG", T6)[:3] == (0, 1, 2)
    assert read_order("ULPRX_LA", T6)[:2] == (0, 8)
    assert read_order("RSS", T6) == ()


def test_where_most_words_are_computed_the_reads_have_no_order() -> None:
    assert read_order("HW_SCHED", T6) == read_order("CLK", T6) == ()


MESSAGES = ("CIM_OBQ_NCSI", "CIM_LA", "TP_LA", "CIM_PIF_LA", "ULPTX_LA", "PBT_TABLE")
"""Entities that hold what others wrote."""


@pytest.mark.parametrize("chip", CARDS, ids=repr)
@pytest.mark.parametrize("name", [*MESSAGES, "EDC0", "MC0"])
def test_ones_at_the_end_are_values_if_a_later_entity_was_measured(chip: Chip, name: str) -> None:
    dump = Doctored(collected(chip).data)
    dump.other = {name: raw(chip, name)[:-64] + ONES * 64}
    titles = [part.title for part in dump.decode(name)]
    assert "PERHAPS NOT MEASURED" in titles
    assert NOT_MEASURED not in titles
    assert (dump.decode(name).incomplete, dump.not_measured(name)) == ("", "")


@pytest.mark.parametrize("name", MESSAGES)
def test_ones_at_the_end_are_no_values_if_no_later_entity_was_measured(name: str) -> None:
    found = decoded_of_lost(T6, name, raw(T6, name)[:-64] + ONES * 64)
    assert NOT_MEASURED in [part.title for part in found]
    assert "The last 64 bytes" in found.incomplete


def test_a_map_of_all_ones_is_a_value_of_the_schedulers() -> None:
    data = raw(T6, "HW_SCHED")[:-4] + ONES * 4
    for found in (decoded(T6, HW_SCHED=data), decoded_of_lost(T6, "HW_SCHED", data)):
        (table,) = (part for part in found if isinstance(part, Table))
        assert [row[2] for row in table.rows] == [3] * 8


def test_what_the_driver_knows_by_itself_is_not_counted_as_lost() -> None:
    data = raw(T6, "TID_INFO")
    found = decoded_of_lost(T6, "TID_INFO", data[:76] + ONES * 4 + data[80:])
    assert "The last 4 bytes that were read of 156, from 0x4c on" in found.incomplete


class LosingIo(SingleIo):
    """The BAR0 of a card that is lost after some reads; configuration space still answers."""

    def __init__(self, inner: Io, reads: int) -> None:
        self.inner, self.left, self.counts = inner, reads, Counts()

    @property
    def config(self) -> Space:
        return self.inner.config

    def read(self, offset: int, width: int = 4) -> int:
        self.left -= 1
        return self.inner.read(offset, width) if self.left >= 0 else (1 << 8 * width) - 1

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.inner.write(offset, value, width)

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        return super().run(ops, rows, out) if self.left > 0 else FlatIo(0xFF).run(ops, rows, out)


READ = ("RSS_VF_CONF", "ULPRX_LA", "TP_LA", "PM_INDIRECT", "ULPTX_LA", "HMA_INDIRECT")


def lost_after(reads: int) -> tuple[cudbg.Dump, int]:
    """A dump of a card that is lost after so many reads, and how many were left."""
    io, buffer = LosingIo(Inproc(small(T6)).io(), reads), bytearray(ROOM)
    cudbg.collect(io, cudbg.Device(T6, 0), memoryview(buffer), compress="none", entities=READ)
    return cudbg.Dump(buffer), io.left


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_card_that_is_lost_is_said_to_be_so_from_then_on(share: float) -> None:
    whole, left = lost_after(ROOM)
    dump, _ = lost_after(int((ROOM - left) * share))
    said = [whole.not_measured(name) for name in READ]
    assert said == [""] * len(READ)
    said = [dump.not_measured(name) for name in READ]
    (at,) = (i for i, line in enumerate(said) if "The last " in line)
    assert said[:at] == [""] * at
    assert all(said[at:])
    assert dump.raw(READ[0]) == whole.raw(READ[0])


@pytest.mark.parametrize("name", sorted(emu.profiles()))
def test_nothing_of_a_healthy_card_is_doubted(name: str) -> None:
    dump = collect(emu.Card.load(name, seed=7), "none").dump
    for entity in dump.entities:
        if entity.good:
            titles = [part.title for part in dump.decode(entity.name)]
            assert not [title for title in titles if "MEASURED" in title], entity.name


def test_the_end_of_a_table_that_is_ones_is_doubted() -> None:
    whole = raw(T6, "RSS_VF_CONF")
    found = decoded(T6, RSS_VF_CONF=whole[:-12] + ONES * 12)
    assert "PERHAPS NOT MEASURED" in said(found)
    assert "PERHAPS" not in said(decoded(T6, RSS_VF_CONF=whole[:-4] + ONES * 4))


ENTRIES = [(chip, name) for chip, name in GOOD if entities()[name].entry_bytes]


@pytest.mark.parametrize(("chip", "name"), ENTRIES, ids=repr)
def test_entries_of_ones_are_left_out_of_a_table_and_counted(chip: Chip, name: str) -> None:
    entity, data = entities()[name], bytearray(raw(chip, name))
    size = entity.entry_bytes
    for i in (1, 3, 4):
        at = entity.entries_from + i * size
        data[at + entity.entry_reads : at + size] = ONES * (size - entity.entry_reads)
    found = decoded(chip, **{name: bytes(data)})
    count = (len(data) - entity.entries_from) // size
    assert f"Left out of {count:,} entries: 3, of which" in said(found)
    assert "Their numbers: 1 3-4" in said(found)
    assert "entries: 3, of which" in found.incomplete
    assert 0xFFFFFFFF not in [cell for part in found for row in rows(part) for cell in row]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_single_word_of_ones_is_a_value(chip: Chip) -> None:
    data = bytearray(raw(chip, "RSS_VF_CONF"))
    data[:4] = ONES * 4
    found = decoded(chip, RSS_VF_CONF=bytes(data))
    assert "PERHAPS" not in said(found)
    assert rows(found.parts[-1])[0][1] == 0xFFFFFFFF


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_run_of_ones_in_the_middle_is_shown_and_doubted(chip: Chip) -> None:
    data = bytearray(raw(chip, "CIM_IBQ_TP0"))
    data[0x80:0x100] = ONES * 0x80
    found = decoded(chip, CIM_IBQ_TP0=bytes(data))
    assert "PERHAPS NOT MEASURED" in said(found)
    assert "128 bytes from byte 0x80 on" in said(found)
    assert rows(found.parts[-1])[8] == [0x80, *[0xFFFFFFFF] * 4]


def items(found: Decoded) -> dict[str, str]:
    """Named values with their meanings."""
    parts = [part for part in found if isinstance(part, Fields)]
    named = [item for part in parts for item in part.items]
    return {item.name: f"{shown(item.value, item.form)} {item.meaning}" for item in named}


def test_without_the_clock_of_clk_no_rate_is_computed_from_0() -> None:
    tid_info = bytearray(raw(T6, "TID_INFO"))
    tid_info[64] |= AdapterFlag.FW_OK
    told = {"CLK": ZERO * len(raw(T6, "CLK")), "TID_INFO": bytes(tid_info)}
    found = decoded(T6, HW_SCHED=raw(T6, "HW_SCHED"), **told)
    assert "as the driver computed them: CLK does not tell its clock" in said(found)
    assert "0 kHz" not in said(found).split()
    (table,) = (part for part in found if isinstance(part, Table))
    stored = memoryview(raw(T6, "HW_SCHED")).cast("I")
    assert [row[3:5] for row in table.rows][:3] == [
        [stored[0], "enabled"],
        [stored[1], "enabled"],
        [0, "disabled"],
    ]


@pytest.mark.parametrize("period", [0, 0xFFFFFFFF])
def test_a_period_that_no_clock_has_is_not_believed(period: int) -> None:
    clk = bytearray(raw(T6, "CLK"))
    clk[72:76] = period.to_bytes(4, "little")
    assert items(decoded(T6, CLK=bytes(clk)))["core clock"].startswith(
        "4.0 ns a cycle (250000 kHz)"
    )


def test_what_a_driver_computes_of_a_register_of_ones_is_no_time_and_no_rate() -> None:
    clk = bytearray(raw(T6, "CLK"))
    clk[8:16] = (327 * 0xFFFFFFFF).to_bytes(8, "little")  # a tick of 327 us at 50 MHz
    found = items(decoded(T6, CLK=bytes(clk)))
    assert found["retransmit max"] == " not measured: its register reads as all ones"
    assert "ticks of 65.536 us" in found["retransmit min"]
    sched = memoryview(bytearray(raw(T6, "HW_SCHED"))).cast("I")
    sched[1] = (50_000 * 1000 // 0xFF * 0xFF & 0xFFFFFFFF) // 125
    sched[8 + 1] = 10000 * 0xFFFF // 50
    (table,) = (p for p in decoded(T6, HW_SCHED=bytes(sched)) if isinstance(p, Table))
    assert [row[3:6] for row in table.rows][1] == [None, "not read", None]


def test_the_widest_gap_is_a_value_that_is_doubted() -> None:
    sched = memoryview(bytearray(raw(T6, "HW_SCHED"))).cast("I")
    sched[8 + 1] = 10000 * 0xFFFF // 50
    found = decoded(T6, HW_SCHED=bytes(sched))
    (table,) = (part for part in found if isinstance(part, Table))
    assert [row[4:6] for row in table.rows][1] == ["enabled", 0xFFFF * 10000 // 250]
    assert "gap of 1: perhaps not read" in said(found)
    assert not found.incomplete


def test_a_region_of_memory_that_begins_at_all_ones_was_not_read() -> None:
    info = bytearray(raw(T6, "MEMINFO"))
    regions = meminfo_of(bytes(info)).mem
    first = next(i for i, region in enumerate(regions) if region.idx < len(REGIONS))
    at = sizeof(VersionHeader) + Meminfo.mem.offset + first * sizeof(Extent)
    info[at : at + 4] = ONES * 4
    row = rows(decoded(T6, MEMINFO=bytes(info)).parts[1])[0]
    assert row == [f"{REGIONS[regions[first].idx].name}: not read", None, None, None]


def test_what_was_not_measured_explains_nothing() -> None:
    silent = {"TP_INDIRECT": ONES * len(raw(T6, "TP_INDIRECT"))}
    found = decoded(T6, LE_TCAM=raw(T6, "LE_TCAM"), **silent)
    assert "TP_INDIRECT, which explains it, was not measured" in said(found)
    assert "TP_VLAN_PRI_MAP, which the dump does not tell" in said(found)
    assert "TP_INDIRECT, which explains it" in found.incomplete
    found = decoded(T6, MPS_TCAM=raw(T6, "MPS_TCAM"), TID_INFO=ONES * 156)
    assert "TID_INFO, which explains it, was not measured" in said(found)


def test_a_reply_of_all_ones_is_no_request() -> None:
    record = MailboxRecord(timestamp=7, seqno=1)
    record.cmd = [(1 << 64) - 1] * 8
    data = bytes(record).ljust(len(raw(T6, "MBOX_LOG")), b"\0")
    (row,) = rows(decoded(T6, MBOX_LOG=data).parts[0])
    assert row[:6] == [1, 7, "", "", "", "all ones: the mailbox was not read"]


def test_a_memory_map_without_memories_was_not_measured() -> None:
    data = bytearray(raw(T6, "MEMINFO"))
    data[16:] = bytes(len(data) - 16)
    found = decoded(T6, MEMINFO=bytes(data))
    assert "It lists no memory" in nothing_in(found)
    assert "It lists no memory" in found.incomplete


def test_all_ones_in_the_action_of_a_mac_address_are_no_function() -> None:
    data = bytearray(raw(T6, "MPS_TCAM"))
    at = 8 + 4 * 8 + 4  # cls_lo, cls_hi of the first entry
    data[at : at + 8] = ONES * 8
    (table,) = (part for part in decoded(T6, MPS_TCAM=bytes(data)) if isinstance(part, Table))
    assert next(iter(table.rows))[3:10] == [None, None, None, None, "not read", "", None]


def test_a_damaged_piece_is_still_damage() -> None:
    dump = Doctored(collected(T6).data)
    dump.other = {"MEMINFO": ONES * 8 + raw(T6, "MEMINFO")[8:]}
    with pytest.raises(CudbgError):
        dump.decode("MEMINFO")


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_what_is_left_of_a_cut_entity_is_not_shown_if_it_is_ones(chip: Chip) -> None:
    dump, start = bytearray(collected_from(0xFF, chip).data), 0
    entity = cudbg.Dump(dump).entity("RSS_VF_CONF")
    start = entity.start
    found = cudbg.Dump(bytes(dump[: start + 64])).decode_remains("RSS_VF_CONF")
    assert nothing_in(found).startswith("not measured: 64 bytes are left of it: all ff")
