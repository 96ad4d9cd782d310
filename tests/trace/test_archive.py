"""The recorded form: what others read of it, and what damage does to it."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.trace.conftest import Recording, read
from vmcoredd import emu
from vmcoredd.trace.archive import Reader, Writer, mark
from vmcoredd.trace.errors import TraceFormatError
from vmcoredd.trace.records import RECORD, RECORD_BYTES, Kind, Record, lost_record


@pytest.fixture
def trace(card: emu.Card, path: Path, recorded: Recording) -> Path:
    """A trace of a few accesses."""
    with recorded():
        for offset in range(0x1000, 0x1100, 4):
            card.read(offset)
        card.bar_read(0, 0x1000, 1000)
    return path


def test_numpy_reads_a_trace(trace: Path) -> None:
    with numpy.load(trace) as arrays:
        records = numpy.concatenate([arrays[n] for n in arrays if n.startswith("records/")])
    accesses = records[records["kind"] == Kind.READ]
    assert list(accesses["address"][:3]) == [0x1000, 0x1004, 0x1008]
    assert list(accesses["length"][-2:]) == [4, 1000]
    assert records.dtype.itemsize == RECORD_BYTES
    data = records[records["kind"] == Kind.DATA]
    assert len(data) == -(-1000 // 56)


def test_unzip_finds_no_error(trace: Path) -> None:
    with zipfile.ZipFile(trace) as whole:
        assert whole.testzip() is None
        assert whole.namelist()[0] == "header.json"
        assert whole.namelist()[-1] == "end.json"


def test_a_trace_without_its_end_is_read_as_far_as_it_goes(trace: Path) -> None:
    _, whole = read(trace)
    content = trace.read_bytes()
    for cut in range(len(content) - 700, len(content), 13):
        trace.write_bytes(content[:cut])
        reader, records = read(trace)
        assert records == whole[: len(records)]
        assert (reader.end is None) == bool(reader.damage)
        assert mark(trace) is None


def test_an_array_that_is_cut_yields_its_whole_records(path: Path) -> None:
    writer = Writer(path, {})
    writer.add(b"".join(lost_record(time, time).packed() for time in range(5000)))
    writer.abandon()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    reader, records = read(path)
    assert 1000 < len(records) < 5000
    assert [record.value for record in records] == list(range(len(records)))
    assert "cut" in reader.damage


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin with a trace's header"),
        (b"\x7fELF" + bytes(100), "no member of a ZIP"),
        (b"PK\x03\x04", "cut"),
        (b"precious", "cut"),
        (b"PK\x05\x06" + bytes(18), "does not begin with a trace's header"),
    ],
)
def test_what_is_no_trace_is_refused(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)
    with pytest.raises(TraceFormatError, match=why):
        Reader(path)


def test_another_zip_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("header.json", '{"format": "something else"}')
    with pytest.raises(TraceFormatError, match="does not begin with a trace's header"):
        Reader(path)


def test_a_later_version_is_refused(path: Path) -> None:
    Writer(path, {"version": 2}).abandon()
    with pytest.raises(TraceFormatError, match="version 2, but this program knows 1"):
        Reader(path)


@pytest.mark.parametrize("counts", [{}, {"events": 1, "lost": None}, {"events": -1, "lost": 0}])
def test_a_mark_without_its_counts_is_damage(path: Path, counts: dict[str, Any]) -> None:
    writer = Writer(path, {})
    writer.finish(counts)
    reader, _ = read(path)
    assert reader.damage == "it is damaged: a mark without its counts"
    assert reader.end is None
    assert mark(path) is None


def test_a_header_whose_faults_are_no_list_is_refused(path: Path) -> None:
    Writer(path, {"faults": 5}).abandon()
    with pytest.raises(TraceFormatError, match="faults are no list"):
        Reader(path)


def head(record: Record, **values: int) -> bytes:
    """A record without the data that it carries."""
    return RECORD.pack(*record._replace(**values)[:-1])


def bad_records() -> Iterator[tuple[str, bytes, str]]:
    """Records that no recorder writes, and what is said of them."""
    good = lost_record(1, 1)
    yield "an unknown kind", good._replace(kind=99).packed(), "kind 99"
    yield "data first", bytes(RECORD_BYTES), "kind 0"
    yield "data that are too long", head(good, carried=1 << 31), "carries"
    missing = head(good, carried=100) + good.packed() * 2
    yield "data that are missing", missing, "data are missing"
    yield "the end in data", head(good, carried=100), "lacks data"
    yield "a part of a record", good.packed() + b"abc", "end with a record"


@pytest.mark.parametrize(
    ("content", "why"), [case[1:] for case in bad_records()], ids=[c[0] for c in bad_records()]
)
def test_records_that_make_no_sense_are_damage(path: Path, content: bytes, why: str) -> None:
    writer = Writer(path, {})
    writer.add(lost_record(0, 7).packed())
    writer.add(content)
    writer.finish({"events": 0, "lost": 0})
    reader, records = read(path)
    assert records[0].value == 7
    assert why in reader.damage
    assert reader.end is None


def test_random_damage_never_ends_in_another_error(trace: Path, path: Path) -> None:
    content, chance = trace.read_bytes(), random.Random(1)
    for _ in range(200):
        broken = bytearray(content)
        for _ in range(chance.randrange(1, 8)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(broken)
        try:
            with Reader(path) as reader:
                list(reader.records())
        except TraceFormatError:
            continue


def test_a_member_that_inflates_without_end_takes_no_memory(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("header.json", b" " * (64 << 20))
    with pytest.raises(TraceFormatError, match="without end"):
        Reader(path)
