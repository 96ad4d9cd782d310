"""Dumps that were packed with FastLZ, as FreeBSD's driver and the vendor's collector do."""

from __future__ import annotations

import struct
from contextlib import suppress
from random import Random

import fastlz
import pytest
from carddump import collected
from fastlz_dumps import CHUNK, chunk, data_chunk, dump, file_chunk, packed
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6
from vmcoredd.cudbg.compare import compare
from vmcoredd.cudbg.container import entity_header_offset
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.fastlz import GROWTH, FastLzError, decompress

NAMES = ("REG_DUMP", "DEV_LOG", "PATH_MTU", "CIM_QCFG", "TP_INDIRECT", "DUMP_CONTEXT")
NOISE = Random(3).randbytes(70_000)
TEXT = b"ingress queue 12 of port 3 has 7 credits; " * 4000
SAMPLES = {
    "zeros": bytes(64512),
    "noise": NOISE[:64512],
    "text": TEXT[:64512],
    "far matches": NOISE[:30_000] + NOISE[:30_000],
    "a run between noise": NOISE[:5000] + bytes(20_000) + NOISE[:5000],
    "short": b"0123456789abcdef0123456789abcdef",
    "one byte": b"x",
}


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("name", SAMPLES)
def test_what_another_program_compressed_is_decompressed(name: str, level: int) -> None:
    raw = SAMPLES[name]
    block, size = fastlz.compress(raw, level)
    assert size == len(raw)
    assert block[0] >> 5 == level - 1
    assert decompress(block, size) == raw


@given(st.lists(st.sampled_from([b"ab", b"\0" * 300, b"abcdefgh", NOISE[:99]]), max_size=99))
def test_every_text_is_decompressed_to_itself(parts: list[bytes]) -> None:
    raw = b"".join(parts) + b"end"
    for level in (1, 2):
        assert decompress(fastlz.compress(raw, level)[0], len(raw)) == raw


@pytest.mark.parametrize(
    ("block", "size", "what"),
    [
        (b"", 1, "ends within a run"),
        (b"\x00", 1, "ends within a run"),
        (b"\x05abc", 6, "ends within a run"),
        (b"\x02abc", 2, "more than 2 bytes"),
        (b"\x02abc", 4, "need 4 bytes, have 3"),
        (b"\x42abc", 3, "level 3: there are 1 and 2"),
        (b"\x00a\x20\x01", 4, "begins before the block"),
        (b"\x00a\xe0", 99, "ends within a run"),
        (b"\x20a\xe0\xff\xff", 99, "ends within a run"),
        (b"\x20a\xe0" + b"\xff" * 9 + b"\0\0", 99, "more than 99 bytes"),
        (b"\x20a\x3f\xff\x00", 99, "ends within a run"),
        (b"\x20a\x3f\xff\x00\x00", 99, "begins before the block"),
    ],
)
def test_a_damaged_block_is_refused(block: bytes, size: int, what: str) -> None:
    with pytest.raises(FastLzError, match=what):
        decompress(block, size)


def test_a_block_of_zeros_grows_by_less_than_is_allowed() -> None:
    block, size = fastlz.compress(bytes(1 << 20), 2)
    assert size / len(block) < GROWTH


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_whatever_bytes_a_block_has_it_is_decompressed_or_refused(block: bytes, size: int) -> None:
    with suppress(FastLzError):
        assert len(decompress(block, size)) == size


@pytest.fixture(scope="module")
def raw() -> dict[int, bytes]:
    """The raw bytes of some entities of a T6, by number."""
    made = collected(T6).dump
    return {made.entity(name).number: made.raw(name) for name in NAMES}


@pytest.mark.parametrize("size", [CHUNK, 1 << 20, 5000])
def test_a_dump_of_freebsd_has_the_same_entities(raw: dict[int, bytes], size: int) -> None:
    theirs, ours = cudbg.Dump(dump(raw, size=size)), collected(T6).dump
    assert (theirs.compression, theirs.chip, theirs.revision) == ("FastLZ", T6, None)
    assert theirs.unknowns == ()
    assert {entity.name for entity in theirs.entities} == set(NAMES)
    for name in NAMES:
        assert theirs.raw(name) == ours.raw(name)
        assert len(theirs.blob(name)) == len(ours.blob(name))
    assert theirs.decode("PATH_MTU").json() == ours.decode("PATH_MTU").json()


def test_a_dump_of_freebsd_is_compared_by_what_it_holds(raw: dict[int, bytes]) -> None:
    found = [*compare(cudbg.Dump(dump(raw)), collected(T6).dump)]
    assert {name for name in found if isinstance(name, str)} == set(NAMES)


def test_a_slice_unpacks_only_the_pieces_it_overlaps(raw: dict[int, bytes]) -> None:
    data = bytearray(dump({1: NOISE + TEXT}))
    data[-100] ^= 1
    blob = cudbg.Dump(data).blob("REG_DUMP")
    assert blob[CHUNK - 5 : CHUNK + 5] == (NOISE + TEXT)[CHUNK - 5 : CHUNK + 5]
    with pytest.raises(DumpFormatError, match=r"REG_DUMP: piece at .*: its checksum is wrong"):
        blob[len(blob) - 5 : len(blob)]


@pytest.mark.parametrize(("chip", "known"), [(5, T5), (6, T6), (0x51, T5), (0x60, T6)])
def test_the_chip_is_known_from_either_nibble(chip: int, known: object) -> None:
    made = cudbg.Dump(dump({}, chip=chip))
    assert made.chip is known
    assert made.revision == (None if chip < 16 else chip & 0xF)


FILE = file_chunk(100)
DATA = data_chunk(bytes(100))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "begins with nothing, not as FastLZ's files do"),
        (b"\x78\x9c", "begins with 78 9c, not as FastLZ's files do"),
        (b"\x896PK\r\n\x1a\n" + FILE[:15], "header of a chunk: need 16 bytes, have 15"),
        (b"\x896PK\r\n\x1a\n" + FILE[:-1], "chunk at 0x8: need 14 bytes, have 13"),
        (b"\x896PK\r\n\x1a\n" + FILE, "file in FastLZ: need 100 bytes, have 0"),
        (b"\x896PK\r\n\x1a\n" + FILE + DATA + DATA, "need 100 bytes, have 200"),
        (b"\x896PK\r\n\x1a\n" + FILE[:20] + b"!" + FILE[21:] + DATA, "describes the file"),
        (b"\x896PK\r\n\x1a\n" + chunk(17, 2, b"abc", 3), "a chunk with options 0x2"),
        (b"\x896PK\r\n\x1a\n" + chunk(17, 0, b"abc", 4), "a chunk of 3 bytes claims 4"),
        (b"\x896PK\r\n\x1a\n" + chunk(17, 1, b"abc", 769), "a chunk of 3 bytes claims 769"),
        (b"\x896PK\r\n\x1a\n" + chunk(17, 1, b"", 0), "a chunk of 0 bytes claims 0"),
        (b"\x896PK\r\n\x1a\n" + chunk(17, 1, b"\x05ab", 6), "piece at 0x0: the block ends"),
    ],
)
def test_a_damaged_file_is_that_entitys_damage(body: bytes, what: str) -> None:
    data = bytearray(dump({27: b"", 2: TEXT[:500]}))
    struct.pack_into("<II", data, entity_header_offset(27) + 4, len(data), len(body))
    data[entity_header_offset(27) + 24] = 0
    made = cudbg.Dump(bytes(data) + body)
    with pytest.raises(DumpFormatError, match=what):
        made.raw("PATH_MTU")
    assert made.raw("DEV_LOG") == TEXT[:500]


def test_unknown_chunks_are_passed_over() -> None:
    body = packed(TEXT[:500])
    data = bytearray(dump({27: b""}))
    body += chunk(99, 0, b"something", 0)
    struct.pack_into("<II", data, entity_header_offset(27) + 4, len(data), len(body))
    data[entity_header_offset(27) + 24] = 0
    assert cudbg.Dump(bytes(data) + body).raw("PATH_MTU") == TEXT[:500]
