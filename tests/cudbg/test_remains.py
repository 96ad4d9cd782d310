"""What is decoded of entities that are cut, damaged, or of another size than is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from carddump import CARDS, collected

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.container import PIECE_HEADER_BYTES, PieceHeader
from vmcoredd.cudbg.decoded import Decoded, Fields, Hexdump, Part, Table, Text
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.cudbg.remains import Remains, decode_in_part

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ABSENT = "not in the dump"
TABLES = [name for name, entity in entities().items() if entity.stage != Stage.MEMORIES]


def contents(part: Part) -> list[list[object]]:
    """The cells of each row, item or line."""
    if isinstance(part, Table):
        return [list(row) for row in part.rows]
    if isinstance(part, Fields):
        return [[i.name, i.value, i.meaning] for i in part.items if i.meaning != ABSENT]
    return [[line] for line in part.lines] if isinstance(part, Text) else []


def in_part(chip: Chip, name: str, parts: Sequence[tuple[int, bytes]]) -> Decoded:
    """What is decoded of these bytes of an intact entity."""
    dump = collected(chip).dump
    remains = Remains(name, parts, dump.size(name))
    entity = dump.decoder(name)
    others = {other: dump.blob(other) for other in entity.explained_by}
    return entity.decode_remains(remains, others, chip)


def agrees(row: list[object], whole: list[object]) -> bool:
    """Whether every cell of a row that is not empty is that of a whole one."""
    return len(row) == len(whole) and all(
        cell is None or repr(cell) == repr(other) for cell, other in zip(row, whole, strict=True)
    )


@CHIPS
@pytest.mark.parametrize("name", TABLES)
def test_what_is_shown_of_a_part_is_what_is_shown_of_the_whole(chip: Chip, name: str) -> None:
    dump = collected(chip).dump
    if not dump.entity(name).good or name == "QDESC":
        return
    raw, whole = dump.raw(name), list(dump.decode(name))
    known = [row for part in whole for row in contents(part)]
    exact = Counter(map(repr, known))
    size = len(raw)
    holed = [(0, raw[: size // 3]), (size // 2, raw[size // 2 :])]
    for parts in ([(0, raw[: size // 3])], [(0, raw[: size - 1])], holed):
        try:
            caveat, *shown = in_part(chip, name, parts)
        except cudbg.DumpFormatError:
            assert name in ("CLK", "VPD_DATA", "MEMINFO"), "its counts are at its end"
            continue
        assert f"of {size:,} bytes" in contents(caveat)[0][0]  # type: ignore[operator]
        for part in shown:
            for row in contents(part):
                assert exact[repr(row)] or any(agrees(row, one) for one in known), row


@CHIPS
@pytest.mark.parametrize("name", ["MEMINFO", "CLK", "TID_INFO", "VPD_DATA", "CIM_QCFG", "HW_SCHED"])
def test_a_hole_of_a_word_makes_no_false_value(chip: Chip, name: str) -> None:
    """What a decoder says of codes that it does not know is no value either."""
    raw = collected(chip).dump.raw(name)
    known: dict[tuple[str, str], list[list[object]]] = {}
    for part in collected(chip).dump.decode(name):
        for row in [] if isinstance(part, Text) else contents(part):
            known.setdefault((part.title, str(row[0])), []).append(row)
    for hole in range(0, len(raw), 4):
        try:
            _, *parts = in_part(chip, name, [(0, raw[:hole]), (hole + 4, raw[hole + 4 :])])
        except cudbg.DumpFormatError:
            continue
        for part in parts:
            for row in [] if isinstance(part, Text) else contents(part):
                whole = known.get((part.title, str(row[0])), [row])
                assert any(agrees(row, one) for one in whole), (hole, row, whole)


def test_records_before_a_cut_are_all_shown_and_none_after_it() -> None:
    raw = collected(T6).dump.raw("MPS_TCAM")
    (*_, table) = collected(T6).dump.decode("MPS_TCAM")
    caveat, *_, part = in_part(T6, "MPS_TCAM", [(0, raw[: len(raw) // 2])])
    assert contents(caveat) == [["22,528 of 45,056 bytes: what depends on the others is left out"]]
    whole = contents(table)
    assert contents(part) == [row for row in whole if row in contents(part)]
    assert 0 < len(contents(part)) <= len(whole)


def test_a_value_that_is_missing_is_named() -> None:
    raw = collected(T6).dump.raw("VPD_DATA")
    _, card = in_part(T6, "VPD_DATA", [(0, raw[:30])])
    assert isinstance(card, Fields)
    items = {item.name: item for item in card.items}
    assert items["serial number"].value == collected(T6).fields("VPD_DATA")["serial number"]
    assert items["firmware"].value is None
    assert items["firmware"].meaning == ABSENT


def test_a_cell_whose_bytes_are_missing_is_empty_in_its_row() -> None:
    raw = collected(T6).dump.raw("CIM_QCFG")
    whole = collected(T6).table("CIM_QCFG", "inbound")
    _, inbound, *_ = in_part(T6, "CIM_QCFG", [(0, raw[:121])])
    assert isinstance(inbound, Table)
    names = [column.name for column in inbound.columns]
    for row, full in zip(inbound.rows, whole, strict=True):
        found = dict(zip(names, row, strict=True))
        assert (found["base"], found["size"]) == (full["base"], full["size"])
        assert found["packets begun"] is None


def test_a_dump_with_more_bytes_than_are_known_is_decoded_without_them() -> None:
    decoded = collected(T6).dump.decode("PM_STATS")
    raw = collected(T6).dump.raw("PM_STATS") + bytes(8)
    longer = decode_in_part(
        lambda blob: entities()["PM_STATS"].decode(blob, T6),
        Remains("PM_STATS", [(0, raw)], len(raw)),
    )
    assert list(longer)[1:] == list(decoded)
    assert longer.incomplete == "8 bytes more than this version knows: not decoded"


def cut(chip: Chip, name: str, compress: str) -> cudbg.Dump:
    """A dump that ends in the middle of an entity."""
    made = collected(chip, compress)
    entity = made.dump.entity(name)
    return cudbg.Dump(bytes(made.data[: entity.start + entity.size // 2]))


@pytest.mark.parametrize("compress", ["none", "zlib"])
@pytest.mark.parametrize("chip", [T5, T6])
def test_what_a_truncated_dump_has_of_its_last_entity_is_decoded(chip: Chip, compress: str) -> None:
    dump = cut(chip, "REG_DUMP", compress)
    with pytest.raises(cudbg.DumpFormatError, match="REG_DUMP"):
        dump.decode("REG_DUMP")
    rows = contents(list(dump.decode_remains("REG_DUMP"))[1])
    every = contents(next(iter(collected(chip).dump.decode("REG_DUMP"))))
    assert rows == every[: len(rows)]
    assert len(every) > len(rows) > len(every) // 8


def test_pieces_that_are_intact_are_decoded_around_one_that_is_not() -> None:
    data = bytearray(collected(T6).data)
    entity = cudbg.Dump(data).entity("REG_DUMP")
    first = PieceHeader.from_bytes(data[entity.start :])
    second = entity.start + PIECE_HEADER_BYTES + first.compress_size
    data[second + PIECE_HEADER_BYTES + 20] ^= 0xFF
    dump = cudbg.Dump(data)
    remains = dump.remains("REG_DUMP")
    assert [start for start, _ in remains.parts] == [0, *range(129024, remains.size, 64512)]
    assert [remains.holds(at) for at in (64511, 64512, 129023, 129024)] == [
        True,
        False,
        False,
        True,
    ]
    offsets = [row[0] for row in contents(list(dump.decode_remains("REG_DUMP"))[1])]
    assert offsets
    assert not [offset for offset in offsets if 64512 <= offset < 129024]  # type: ignore[operator]
    assert max(offsets) > 129024  # type: ignore[type-var, operator]


def test_the_start_of_a_memory_that_was_cut_is_shown() -> None:
    dump = cut(T6, "EDC0", "none")
    _, memory, *_ = dump.decode_remains("EDC0")
    assert isinstance(memory, Hexdump)
    whole = collected(T6, "none").dump.raw("EDC0")
    assert bytes(memory.data[:]) == whole[: len(memory.data)]
    assert 0 < len(memory.data) < len(whole)


def test_of_nothing_nothing_is_decoded() -> None:
    data = collected(T6, "none").data
    entity = cudbg.Dump(data).entity("CCTRL")
    dump = cudbg.Dump(bytes(data[: entity.start]))
    with pytest.raises(cudbg.DumpFormatError, match="CCTRL: none of it is left"):
        dump.decode_remains("CCTRL")
    with pytest.raises(cudbg.DumpFormatError, match="CCTRL: all of it is left"):
        collected(T6).dump.decode_remains("CCTRL")
