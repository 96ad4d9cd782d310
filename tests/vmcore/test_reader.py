"""The reader: complete files, damaged files, and its costs."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmcore_files import (
    PAGE,
    Elf,
    Load,
    closing_all,
    dump_note,
    kdump,
    limited,
    note,
    prstatus,
    vmcoreinfo,
)

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import NoSuchNote, OutputExists, VmcoreFormatError

PAYLOAD = bytes(range(256)) * 40
NOTES = dump_note(b"card0", PAYLOAD) + dump_note(b"card1", b"x" * 64) + prstatus()


@pytest.fixture
def made(tmp_path):
    """Writes bytes to a file and opens a reader on it."""

    def make(data):
        path = tmp_path / "vmcore"
        path.write_bytes(bytes(data))
        return vmcore.Reader(path)

    return make


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_device_dumps_are_listed_in_every_class_and_byte_order(made, bits, order):
    notes = dump_note(b"card", b"1234", order) + prstatus(order)
    reader = made(Elf([notes], [Load(0, b"memory")], bits, order))
    assert [(n.index, n.owner, n.name) for n in reader.notes] == [
        (0, "LINUX", "card"),
        (1, "CORE", None),
    ]
    assert [n.index for n in reader.device_dumps] == [0]
    assert (reader.format, reader.damage) == ("elf", ())


def test_notes_of_several_segments_are_numbered_consecutively(made):
    reader = made(Elf([prstatus(), dump_note(b"d", b"1234"), vmcoreinfo()]))
    assert [(n.index, n.owner) for n in reader.notes] == [
        (0, "CORE"),
        (1, "LINUX"),
        (2, "VMCOREINFO"),
    ]


def test_qemus_program_headers_after_a_section_header_are_found(made):
    reader = made(Elf([NOTES], [Load(0, b"m")], phoff=192, xnum=True, align=1))
    assert [n.name for n in reader.notes] == ["card0", "card1", None]


def test_a_segment_aligned_to_eight_bytes_is_read(made):
    notes = note(b"GNU", 5, b"abcd", align=8) + note(b"GNU", 5, b"efgh", align=8)
    assert [made(Elf([notes], note_align=8)).payload(i) for i in (0, 1)] == [b"abcd", b"efgh"]


def test_a_payload_is_the_content_of_the_dump(made):
    reader = made(Elf([NOTES]))
    assert reader.payload(0) == PAYLOAD
    assert reader.payload(1) == b"x" * 64
    assert len(reader.payload(2)) == 336


def test_a_payload_is_read_only_and_ends_where_the_note_does(made):
    view = made(Elf([NOTES])).payload(1)
    assert view.readonly
    assert view[-4:] == b"xxxx"
    with pytest.raises(IndexError):
        view[64]


def test_a_payload_outlives_its_reader(made):
    with made(Elf([NOTES])) as reader:
        view = reader.payload(0)
    assert view == PAYLOAD


def test_an_empty_payload_is_empty(made):
    assert len(made(Elf([dump_note(b"d", b"")])).payload(0)) == 0


@pytest.mark.parametrize("index", [-1, 3, 1 << 40])
def test_an_invalid_index_is_refused(made, index):
    with pytest.raises(NoSuchNote, match=f"no note {index}: the file has 3"):
        made(Elf([NOTES])).payload(index)


def test_extract_writes_the_payload(made, tmp_path):
    told = []
    reader = made(Elf([NOTES]))
    size = reader.extract(0, tmp_path / "out", progress=lambda *at: told.append(at))
    assert (tmp_path / "out").read_bytes() == PAYLOAD
    assert size == len(PAYLOAD)
    assert told[-1] == (size, size)


def test_extract_refuses_to_replace_a_file_unless_forced(made, tmp_path):
    (tmp_path / "out").write_bytes(b"precious")
    reader = made(Elf([NOTES]))
    with pytest.raises(OutputExists):
        reader.extract(0, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"precious"
    reader.extract(0, tmp_path / "out", force=True)
    assert (tmp_path / "out").read_bytes() == PAYLOAD


def test_extract_of_an_empty_payload_makes_an_empty_file(made, tmp_path):
    made(Elf([dump_note(b"d", b"")])).extract(0, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


# Damage.


def test_a_file_truncated_within_a_dump_lists_it_and_returns_it_only_as_partial(made, tmp_path):
    reader = made(bytes(Elf([NOTES]))[: PAGE + 64 + 1000])
    assert [(n.name, n.payload_size, n.present) for n in reader.notes] == [("card0", 10240, 1000)]
    assert [str(error) for error in reader.damage] == [
        "file with its segments: need 14884 bytes, have 5160 bytes: the file is cut: copy it again",
        "note 0 (LINUX): need 10284 bytes, have 1044 bytes",
    ]
    with pytest.raises(VmcoreFormatError, match="note 0's payload: need 10240 bytes, have 1000"):
        reader.payload(0)
    with pytest.raises(VmcoreFormatError):
        reader.extract(0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert reader.payload(0, partial=True) == PAYLOAD[:1000]
    assert reader.extract(0, tmp_path / "out", partial=True) == 1000


def test_a_file_truncated_within_memory_still_has_its_notes(made):
    reader = made(bytes(Elf([NOTES], [Load(0, bytes(3 * PAGE))]))[:-PAGE])
    assert len(reader.notes) == 3
    assert reader.payload(0) == PAYLOAD
    assert [error.what for error in reader.damage] == ["file with its segments"]


def test_a_file_truncated_within_its_program_headers_lists_the_others(made):
    whole = bytes(Elf([], [Load(0, b"")] * 4, align=1))
    reader = made(whole[: 64 + 3 * 56])
    assert [error.what for error in reader.damage] == ["ELF program headers"]


def test_an_impossible_note_size_is_reported_and_limited_by_the_segment(made):
    data = bytearray(bytes(Elf([NOTES, prstatus()])))
    struct.pack_into("<I", data, PAGE + 4, 0xFFFFFFFF)
    reader = made(data)
    assert [n.name for n in reader.notes] == ["card0", None]
    assert reader.notes[0].present == len(NOTES) - 64
    assert len(reader.payload(0, partial=True)) == len(NOTES) - 64


def test_opening_a_refused_file_leaves_no_descriptor(tmp_path):
    path = tmp_path / "junk"
    path.write_bytes(b"junk")
    with closing_all():
        for _ in range(3):
            with pytest.raises(VmcoreFormatError):
                vmcore.Reader(path)


def test_the_number_of_note_segments_is_limited(made):
    """Each is a header in the file; their list ends at the limit and reports it."""
    data = Elf([b""] * ((1 << 14) + 1), align=1)
    assert [error.what for error in made(data).damage] == ["note segments"]


# Fuzzing: a file with any of its bytes changed, cut anywhere.

_WHOLE = bytes(Elf([NOTES, vmcoreinfo()], [Load(0x1000, bytes(100))], xnum=True, phoff=192))
_SAMPLES = [
    _WHOLE,
    bytes(Elf([dump_note(b"d", b"1234", ">") + prstatus(">")], [], 32, ">")),
    kdump(NOTES),
    kdump(NOTES, bits=32, machine=b"i686"),
]
# Bytes that matter: headers and the first note headers of each sample.
_PLACES = st.one_of(st.integers(0, 600), st.integers(PAGE, PAGE + 80), st.integers(0, 20_000))
_MUTATIONS = st.lists(
    st.tuples(_PLACES, st.sampled_from([b"\xff" * 8, bytes(8), b"\1", b"\x7f", b"\x80", b"\xff"])),
    max_size=6,
)


def read_all(path):
    """Reads everything; only `VmcoreFormatError` may be raised."""
    try:
        with vmcore.Reader(path) as reader:
            access_everything(reader)
    except VmcoreFormatError as error:
        if not str(error).isprintable():
            raise


def access_everything(reader):
    for entry in reader.notes:
        assert 0 <= entry.present <= entry.payload_size
        view = reader.payload(entry.index, partial=True)
        assert len(view) == entry.present <= reader.file_size
        assert view[-1:] is not None
        assert str(entry.type_name).isprintable()
        assert entry.owner.isprintable()
    for error in reader.damage:
        assert str(error).isprintable()


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sample=st.sampled_from(_SAMPLES),
    mutations=_MUTATIONS,
    end=st.one_of(st.none(), st.integers(0, 16_000)),
)
def test_any_damaged_file_is_read_or_raises_a_format_error(tmp_path, sample, mutations, end):
    data = bytearray(sample)
    for at, value in mutations:
        if at < len(data):
            data[at : at + len(value)] = value[: len(data) - at]
    path = tmp_path / "mutated"
    path.write_bytes(bytes(data[:end]))
    read_all(path)


@settings(max_examples=200)
@given(data=st.binary(max_size=300), start=st.sampled_from([b"\x7fELF\2\1\1", b"KDUMP   ", b""]))
def test_junk_after_a_valid_start_raises_no_other_error(tmp_path_factory, data, start):
    path = tmp_path_factory.getbasetemp() / "junk"
    path.write_bytes(start + data)
    read_all(path)


# Cost.


def big(path, size):
    """A vmcore of `size` sparse bytes with two dumps of 32 MiB."""
    payload = 0x2001000 - 64
    head = struct.pack("<III8s44s", 8, 44 + payload, 0x700, b"LINUX", b"card")
    notes = 2 * (64 + payload) + len(prstatus())
    elf = bytearray(bytes(Elf([b""], [Load(0, b"")], align=1)))
    struct.pack_into("<QQQQQ", elf, 64 + 8, PAGE, 0, 0, notes, notes)
    struct.pack_into("<QQQQQ", elf, 64 + 56 + 8, 1 << 27, 0, 0, size - (1 << 27), size)
    with path.open("wb") as file:
        file.truncate(size)
        for at, data in ((0, elf), (PAGE, head), (PAGE + 0x2001000, head)):
            os.pwrite(file.fileno(), bytes(data), at)
        os.pwrite(file.fileno(), prstatus(), PAGE + 2 * 0x2001000)


def test_reading_a_4_gib_file_takes_no_more_memory_or_reads_than_a_small_one(tmp_path):
    """Runs in a separate process, whose peak is the memory of a listing."""
    path = tmp_path / "big"
    program = (
        "import sys\nfrom vmcoredd import vmcore\n"
        "r = vmcore.Reader(sys.argv[1])\n"
        "assert len(r.notes) == 3 and len(r.device_dumps) == 2 and not r.damage\n"
        "assert r.payload(1)[-1] == 0\n"
        "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])\n"
    )
    peaks = []
    for size in (1 << 28, 4 << 30):
        big(path, size)
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert max(peaks) < 64 << 10
    assert abs(peaks[0] - peaks[1]) < 4 << 10


def test_listing_reads_each_note_once(tmp_path, monkeypatch):
    path = tmp_path / "big"
    big(path, 4 << 30)
    reads = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: reads.append(n) or real(fd, n, at))
    vmcore.Reader(path)
    assert len(reads) <= 9  # one of them looks past the end
    assert sum(reads) < 4096


def test_a_note_that_claims_4_gib_is_not_allocated(tmp_path):
    path = tmp_path / "liar"
    head = struct.pack("<III8s44s", 8, 0xFFFFFFFC, 0x700, b"LINUX", b"liar")
    path.write_bytes(bytes(Elf([head], note_filesz=1 << 33)))
    with limited(resource.RLIMIT_AS, 256 << 20):
        reader = vmcore.Reader(path)
        assert reader.payload(0, partial=True) == b""
    assert len(reader.damage) >= 2


def test_a_payload_within_a_page_is_mapped(made):
    assert made(Elf([prstatus() + NOTES], align=1)).payload(1) == PAYLOAD
