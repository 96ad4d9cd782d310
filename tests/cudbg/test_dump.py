"""Parsing dumps, both sound and damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ramcard import RamCard
from unknown_dumps import CHIP, big_endian, with_byte

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6
from vmcoredd.cudbg.blob import Blob, zlib_pieces
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Lazy
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import CudbgError, DumpFormatError, UnknownFormat

NAMES = ["MBOX_LOG", "CIM_QCFG", "PATH_MTU", "CCTRL"]
HEADERS = 3800


def made(compress: str = "zlib", chip: object = T6) -> bytearray:
    """Returns a small dump of a card of zeros."""
    buffer = bytearray(1 << 17)
    device = cudbg.Device(chip, 1)  # type: ignore[arg-type]
    cudbg.collect(RamCard().io(), device, memoryview(buffer), compress=compress, entities=NAMES)
    return buffer


DUMP = bytes(made()[:8192])
RAW_DUMP = bytes(made("none"))


def with_word(data: bytes, offset: int, value: int) -> bytes:
    """Returns `data` with `value` as the word at `offset`."""
    changed = bytearray(data)
    struct.pack_into("<I", changed, offset, value)
    return bytes(changed)


def entity_at(name: str) -> int:
    """Returns the offset of an entity's header."""
    return 56 + 52 * (entities()[name].number - 1)


def test_dump_lists_what_was_collected_in_the_kernels_order() -> None:
    dump = cudbg.Dump(DUMP)
    assert [entity.name for entity in dump.entities] == NAMES
    assert all(entity.good for entity in dump.entities)


@pytest.mark.parametrize("chip", [T5, T6])
def test_dump_knows_chip_and_revision(chip: object) -> None:
    dump = cudbg.Dump(made(chip=chip))
    assert (dump.chip, dump.revision) == (chip, 1)


@pytest.mark.parametrize("name", NAMES)
def test_dump_returns_the_same_bytes_compressed_or_not(name: str) -> None:
    compressed, raw = cudbg.Dump(DUMP), cudbg.Dump(RAW_DUMP)
    assert compressed.raw(name) == raw.raw(name)
    assert compressed.size(name) == len(raw.raw(name))


def test_dump_decodes_an_entity() -> None:
    of_zeros, inbound, _ = cudbg.Dump(DUMP).decode("CIM_QCFG").json()
    assert of_zeros["text"] == "EVERY REGISTER IS 0"
    assert inbound["table"] == "inbound queues"


def test_dump_reads_a_buffer_that_is_longer_than_the_dump() -> None:
    assert cudbg.Dump(RAW_DUMP + bytes(232)).size("PATH_MTU") == 32


def test_dump_reports_why_an_entity_is_missing() -> None:
    failed = with_word(DUMP, entity_at("MBOX_LOG") + 12, -19 & 0xFFFFFFFF)
    with pytest.raises(cudbg.NoSuchEntity, match="no room"):
        cudbg.Dump(failed).raw("MBOX_LOG")
    with pytest.raises(cudbg.NoSuchEntity, match="EDC0 is not in the dump"):
        cudbg.Dump(DUMP).raw("EDC0")


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (b"", "dump header: need 56 bytes, have 0"),
        (DUMP[:55], "dump header: need 56 bytes, have 55"),
        (with_word(DUMP, 0, 1), "signature 0x1"),
        (with_word(DUMP, 4, 55), "dump header"),
        (with_word(DUMP, 4, 1 << 31), "dump header"),
        (with_word(DUMP, 20, 0xFFFF), "65535 entity numbers"),
    ],
)
def test_dump_refuses_data_without_its_header(damaged: bytes, what: str) -> None:
    with pytest.raises(DumpFormatError, match=what):
        cudbg.Dump(damaged)


@pytest.mark.parametrize(("code", "name"), [(0x42, "T4"), (0x51, "T5"), (0x60, "T6"), (0x70, "T7")])
def test_dump_names_the_generation_of_known_and_unknown_chips(code: int, name: str) -> None:
    dump = cudbg.Dump(with_byte(DUMP, CHIP, code))
    assert (dump.chip_name, dump.revision) == (name, code & 0xF)
    assert bool(dump.unknowns) == (name in ("T4", "T7"))


def test_dump_refuses_to_decode_an_unknown_chip_and_to_unpack_an_unknown_compression() -> None:
    strange = cudbg.Dump(with_word(DUMP, 20, 0x51400048))
    assert [entity.name for entity in strange.entities] == NAMES
    assert len(strange.unknowns) == 2
    with pytest.raises(UnknownFormat, match="chip T4"):
        _ = strange.chip
    with pytest.raises(UnknownFormat, match="compression type 5"):
        strange.raw("MBOX_LOG")
    assert Blob("CCTRL", zlib_pieces("CCTRL", strange.packed("CCTRL")))[:] == cudbg.Dump(DUMP).raw(
        "CCTRL"
    )


def test_dump_of_a_big_endian_host_has_the_same_entities() -> None:
    little, big = cudbg.Dump(DUMP), cudbg.Dump(big_endian(DUMP))
    assert cudbg.is_dump(big_endian(DUMP))
    assert (little.byte_order, big.byte_order) == ("little", "big")
    assert (big.version, big.compression, big.chip) == ("1.14", "zlib", T6)
    assert big.entities == little.entities
    assert [big.raw(name) for name in NAMES] == [little.raw(name) for name in NAMES]
    with pytest.raises(UnknownFormat, match="big-endian host"):
        big.decode("CIM_QCFG")


def test_the_first_of_several_reasons_is_given() -> None:
    strange = cudbg.Dump(with_byte(big_endian(DUMP), CHIP, 0x70))
    assert len(strange.unknowns) == 2
    with pytest.raises(UnknownFormat, match="chip T7"):
        strange.decode("CIM_QCFG")


def test_dump_refuses_data_beyond_its_end() -> None:
    beyond = with_word(DUMP, entity_at("MBOX_LOG") + 4, 0x7FFFFFFF)
    with pytest.raises(DumpFormatError, match="MBOX_LOG: need"):
        cudbg.Dump(beyond).raw("MBOX_LOG")


def test_dump_reads_a_truncated_file_as_far_as_it_goes() -> None:
    dump = cudbg.Dump(DUMP[: HEADERS + 600])
    assert dump.raw("MBOX_LOG") == bytes(36864)
    with pytest.raises(DumpFormatError):
        dump.raw("CIM_QCFG")


def test_dump_lists_the_entities_whose_headers_exist() -> None:
    assert [entity.name for entity in cudbg.Dump(DUMP[:400]).entities] == ["CIM_QCFG"]


@pytest.mark.parametrize(
    ("offset", "value", "what"),
    [
        (0, 18, "begins with 18"),
        (8, 0, "claims 0 bytes"),
        (8, PIECE_BYTES + 1, "claims 64513"),
        (8, 99, "need 99 bytes, have 100"),
        (16, 1 << 30, "need 1073741824"),
        (16, 10, "not the last"),
        (284, 0, "piece at 0x0"),
    ],
)
def test_dump_checks_every_number_in_a_pieces_header(offset: int, value: int, what: str) -> None:
    with pytest.raises(DumpFormatError, match=what):
        cudbg.Dump(with_word(DUMP, HEADERS + offset, value)).raw("MBOX_LOG")


def test_blob_inflates_only_what_is_requested() -> None:
    raw = bytes(i * 31 & 0xFF for i in range(3 * PIECE_BYTES + 7))
    blob = Blob("x", zlib_pieces("x", memoryview(b"".join(packed(raw)))))
    assert len(blob) == len(raw)
    assert blob[PIECE_BYTES - 2 : PIECE_BYTES + 2] == raw[PIECE_BYTES - 2 : PIECE_BYTES + 2]
    assert blob[-5:] == raw[-5:]
    assert blob[5:5] == b""
    assert blob[:] == raw


def packed(raw: bytes) -> Iterator[bytes]:
    """Yields pieces with their headers."""
    from vmcoredd.cudbg.dump_writer import deflated

    for at in range(0, len(raw), PIECE_BYTES):
        piece = raw[at : at + PIECE_BYTES]
        stream = deflated(memoryview(piece))
        yield struct.pack("<I4xQQ256x", 17, len(piece), len(stream)) + stream


def everything(data: bytes) -> None:
    """Reads a dump to its last byte; only this package's errors may occur."""
    try:
        dump = cudbg.Dump(data)
        entities = dump.entities
    except CudbgError:
        return
    for entity in entities:
        try:
            dump.raw(entity.name)
            for part in dump.decode(entity.name):
                part.json()
        except CudbgError:
            continue


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(DUMP) - 4), st.integers(0, 2**32 - 1)), max_size=6))
def test_dump_with_wrong_words_raises_only_its_own_errors(words: list[tuple[int, int]]) -> None:
    data = DUMP
    for offset, value in words:
        data = with_word(data, offset, value)
    everything(data)


@settings(max_examples=100)
@given(
    st.sampled_from([4, 8, 12, 16, 24]),
    st.sampled_from(NAMES),
    st.integers(0, 2**32 - 1) | st.integers(0, 9000),
)
def test_dump_with_false_entity_headers_raises_only_its_own_errors(
    field: int, name: str, value: int
) -> None:
    everything(with_word(RAW_DUMP, entity_at(name) + field, value))


@settings(max_examples=100)
@given(st.binary(max_size=5000) | st.integers(0, len(DUMP)).map(lambda size: DUMP[:size]))
def test_dump_of_any_bytes_raises_only_its_own_errors(data: bytes) -> None:
    everything(data)


def test_what_a_decoder_does_not_expect_is_its_entitys_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(_blob: object, _chip: object) -> None:
        raise IndexError("row 72")

    monkeypatch.setattr(entities()["PATH_MTU"], "decode", decode)
    dump = cudbg.Dump(DUMP)
    with pytest.raises(DumpFormatError, match="PATH_MTU: not decoded: IndexError: row 72"):
        dump.decode("PATH_MTU")
    assert dump.decode("CIM_QCFG")


def test_what_a_row_does_not_expect_is_damage_too() -> None:
    rows = Lazy(lambda: (1 // row for row in (1, 0)))
    with pytest.raises(DumpFormatError, match="a row: not decoded: ZeroDivisionError"):
        list(rows)


def test_more_than_any_table_has_is_not_decoded() -> None:
    piece = b"".join(packed(bytes(PIECE_BYTES)))
    count = (256 << 20) // PIECE_BYTES + 1
    size = len(piece) * count
    data = bytearray(made()[:56]) + bytes(HEADERS - 56) + piece * (2 * count)
    for i, name in enumerate(("DEV_LOG", "EDC0")):
        header = (entities()[name].number, HEADERS + i * size, size, 0)
        struct.pack_into("<IIIi", data, entity_at(name), *header)
    dump = cudbg.Dump(data)
    with pytest.raises(DumpFormatError, match=f"DEV_LOG: {count * PIECE_BYTES} bytes are too many"):
        dump.decode("DEV_LOG")
    dump.decode("EDC0")


@pytest.mark.parametrize("distance", [0, 4])
def test_an_entity_in_which_another_one_begins_is_damaged(distance: int) -> None:
    at = cudbg.Dump(RAW_DUMP).entity("CIM_QCFG").start + distance
    dump = cudbg.Dump(with_word(RAW_DUMP, entity_at("MBOX_LOG") + 4, at))
    for name, inside in (("CIM_QCFG", "MBOX_LOG"), ("MBOX_LOG", "PATH_MTU")):
        with pytest.raises(DumpFormatError, match=f"{name}: {inside} begins inside it"):
            dump.blob(name)
    assert dump.blob("PATH_MTU")


def test_an_entity_that_begins_in_the_headers_is_damaged() -> None:
    dump = cudbg.Dump(with_word(RAW_DUMP, entity_at("PATH_MTU") + 4, HEADERS - 4))
    with pytest.raises(DumpFormatError, match="PATH_MTU: it begins in the headers"):
        dump.blob("PATH_MTU")


def test_a_dump_that_ends_in_its_headers_is_cut() -> None:
    assert not cudbg.Dump(DUMP[:HEADERS]).cut
    dump = cudbg.Dump(DUMP[: HEADERS - 1])
    assert dump.cut == f"headers: need {HEADERS} bytes, have {HEADERS - 1}"
    with pytest.raises(DumpFormatError, match="HMA: headers: need"):
        dump.entity("HMA")
