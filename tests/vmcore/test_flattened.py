"""Flattened files: records in any order, over one another, damaged, cut anywhere."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmcore_files import Elf, Load, dump_note, flattened, kdump, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import VmcoreError, VmcoreFormatError
from vmcoredd.vmcore.flattened import Flattened
from vmcoredd.vmcore.view import read_some

HEADER, END = flattened([])[:4096], flattened([])[4096:]
PAYLOAD = bytes(range(256)) * 40
NOTES = dump_note(b"card", PAYLOAD) + prstatus()
FILES = {"elf": bytes(Elf([NOTES], [Load(0, b"memory")])), "kdump": kdump(NOTES)}

Record = tuple[int, bytes]
View = Callable[[bytes], Flattened]


def record(offset: int, data: bytes) -> bytes:
    """A record of a flattened file."""
    return flattened([(offset, data)])[len(HEADER) : -len(END)]


def unpacked(records: Sequence[Record]) -> bytes:
    """What `makedumpfile -R` makes of it: each record is written where it says."""
    made = bytearray()
    for offset, data in records:
        if data:
            made.extend(bytes(max(0, offset + len(data) - len(made))))
            made[offset : offset + len(data)] = data
    return bytes(made)


def in_pieces(data: bytes, seed: int) -> list[Record]:
    """A file in pieces of any size, out of order, the headers written twice."""
    random, records, at = Random(seed), [], 0
    while at < len(data):
        size = random.choice((1, 16, 100, 4096))
        records.append((at, data[at : at + size]))
        at += size
    random.shuffle(records)
    return [(0, b"\xee" * 600), *records, (0, data[:600])]


@pytest.fixture
def view(tmp_path: Path) -> View:
    """Opens a flattened file."""

    def make(data: bytes) -> Flattened:
        (tmp_path / "flat").write_bytes(data)
        return Flattened(os.open(tmp_path / "flat", os.O_RDONLY), len(data))

    return make


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("seed", range(5))
def test_a_flattened_file_has_the_notes_of_the_file(tmp_path: Path, form: str, seed: int) -> None:
    (tmp_path / "flat").write_bytes(flattened(in_pieces(FILES[form], seed)))
    (tmp_path / "plain").write_bytes(FILES[form])
    with vmcore.Reader(tmp_path / "flat") as flat, vmcore.Reader(tmp_path / "plain") as plain:
        assert (flat.format, flat.damage, flat.file_size) == (form, (), plain.file_size)
        assert flat.notes == plain.notes
        assert flat.payload(0) == PAYLOAD
        assert flat.payload(0, most=7) == PAYLOAD[:7]
        flat.extract(0, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == PAYLOAD


RECORDS = st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=20)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.integers(0, 90), st.integers(0, 90))
def test_of_records_over_one_another_the_last_is_seen(
    view: View, records: list[Record], offset: int, size: int
) -> None:
    whole = unpacked(records)
    made = view(flattened(records))
    os.lseek(made.fileno(), 0, os.SEEK_SET)
    assert made.size == len(whole)
    assert read_some(made, 0, len(whole) + 9) == whole
    assert read_some(made, offset, size) == whole[offset : offset + size]
    os.close(made.fileno())


def test_a_gap_between_records_is_zeros_and_takes_no_memory(tmp_path: Path) -> None:
    far = (1 << 40, b"end")
    (tmp_path / "flat").write_bytes(flattened([(0, FILES["elf"]), far]))
    with vmcore.Reader(tmp_path / "flat") as reader:
        assert reader.file_size == (1 << 40) + 3
        assert reader.payload(0) == PAYLOAD


def test_a_payload_with_a_gap_is_extracted_with_zeros(tmp_path: Path) -> None:
    plain = FILES["elf"]
    at = plain.index(PAYLOAD)
    records = [(0, plain[: at + 100]), (at + 5000, plain[at + 5000 :])]
    (tmp_path / "flat").write_bytes(flattened(records))
    want = PAYLOAD[:100] + bytes(4900) + PAYLOAD[5000:]
    with vmcore.Reader(tmp_path / "flat") as reader:
        assert reader.payload(0) == want
        reader.extract(0, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == want


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (HEADER[:20], "header of the flattened file: need 32 bytes, have 20"),
        (HEADER[:31] + b"\2" + HEADER[32:], "need type 1, version 1, have type 1, version 2"),
        (flattened([]), "have an empty file"),
        (flattened([(0, b"no vmcore")]), "first bytes 6e 6f"),
        (flattened([(0, flattened([]))]), "flattened format"),
    ],
)
def test_a_flattened_file_without_a_vmcore_is_refused(
    tmp_path: Path, data: bytes, what: str
) -> None:
    (tmp_path / "flat").write_bytes(data)
    with pytest.raises(VmcoreFormatError, match=what):
        vmcore.Reader(tmp_path / "flat")


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (b"", "record 1 of the flattened file: need 16 bytes, have 0"),
        (END[:15], "record 1 of the flattened file: need 16 bytes, have 15"),
        (struct.pack(">qq", -2, 4), "an offset and a size, have -2 and 4"),
        (struct.pack(">qq", 4, -4), "an offset and a size, have 4 and -4"),
        (struct.pack(">qq", 1 << 62, 1 << 62), f"need {1 << 62} bytes, have 0"),
        (record(9, b"abcd")[:-1], "record 1 of the flattened file: need 4 bytes, have 3"),
    ],
)
def test_a_damaged_record_ends_the_file_and_is_told(tmp_path: Path, tail: bytes, what: str) -> None:
    (tmp_path / "flat").write_bytes(HEADER + record(0, FILES["elf"]) + tail)
    with vmcore.Reader(tmp_path / "flat") as reader:
        assert what in str(reader.damage[0])
        assert len(reader.notes) == 2


@pytest.mark.parametrize("form", FILES)
def test_a_flattened_file_cut_anywhere_has_what_comes_before(tmp_path: Path, form: str) -> None:
    data = flattened([(at, FILES[form][at : at + 999]) for at in range(0, len(FILES[form]), 999)])
    path = tmp_path / "flat"
    for size in range(0, len(data), 613):
        path.write_bytes(data[:size])
        with suppress(VmcoreFormatError), vmcore.Reader(path) as reader:
            assert reader.damage
            for note in reader.notes:
                present = bytes(reader.payload(note.index, partial=True))
                if note.is_device_dump:
                    assert PAYLOAD.startswith(present)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8), st.sampled_from(sorted(FILES)))
def test_whatever_byte_is_wrong_only_our_errors_are_raised(
    tmp_path: Path, at: int, noise: bytes, form: str
) -> None:
    data = bytearray(flattened(in_pieces(FILES[form], 1)))
    at %= len(data)
    data[at : at + len(noise)] = noise
    (tmp_path / "flat").write_bytes(data)
    with suppress(VmcoreError), vmcore.Reader(tmp_path / "flat") as reader:
        for note in reader.notes:
            reader.payload(note.index, partial=True)


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "flat"
    path.write_bytes(flattened([(0, FILES["elf"])]))
    with vmcore.Reader(path) as reader:
        os.truncate(path, 9000)
        with pytest.raises(VmcoreFormatError, match="became shorter"):
            reader.payload(0)


@pytest.mark.parametrize("form", FILES)
def test_the_notes_alone_are_written_as_of_the_file(tmp_path: Path, form: str) -> None:
    (tmp_path / "flat").write_bytes(flattened(in_pieces(FILES[form], 3)))
    (tmp_path / "plain").write_bytes(FILES[form])
    for name in ("flat", "plain"):
        with vmcore.Reader(tmp_path / name) as reader:
            vmcore.write_notes(tmp_path / f"{name} notes", reader, {})
    assert (tmp_path / "flat notes").read_bytes() == (tmp_path / "plain notes").read_bytes()
