"""makedumpfile's kdump-compressed format, from independent headers."""

from __future__ import annotations

import struct

import pytest
from vmcore_files import PAGE, dump_note, kdump, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import VmcoreFormatError


def read(tmp_path, data):
    path = tmp_path / "kdump"
    path.write_bytes(data)
    return vmcore.Reader(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize(
    ("bits", "machine"), [(64, b"x86_64"), (64, b"aarch64"), (32, b"i686"), (32, b"armv7l")]
)
def test_the_sub_header_locates_the_notes(tmp_path, bits, machine, version, order):
    if machine == b"i686" and order == ">":
        return  # no such machine
    notes = dump_note(b"card", b"payload.", order) + prstatus(order)
    made = kdump(notes, bits=bits, machine=machine, version=version, order=order, offset=0x3000)
    with read(tmp_path, made) as reader:
        assert reader.format == "kdump"
        assert [(n.owner, n.size) for n in reader.notes] == [("LINUX", 52), ("CORE", 336)]
        assert reader.notes[0].offset == 0x3000
        assert reader.payload(0) == b"payload."
        assert reader.damage == ()


def test_blocks_of_64_kib_are_read(tmp_path):
    made = kdump(prstatus(), block=65536, offset=3 * 65536)
    assert len(read(tmp_path, made).notes) == 1


def test_a_version_without_notes_is_refused(tmp_path):
    with pytest.raises(VmcoreFormatError, match="version 4 for a file with notes, have version 3"):
        read(tmp_path, kdump(prstatus(), version=3))


@pytest.mark.parametrize("block", [0, -4096, 1000, 1 << 21, 0x7FFFFFFF])
def test_an_invalid_block_size_is_refused(tmp_path, block):
    made = bytearray(kdump(prstatus()))
    struct.pack_into("<i", made, 428, block)
    with pytest.raises(VmcoreFormatError, match="a block size that is a power of two"):
        read(tmp_path, bytes(made))


def test_a_file_that_ends_within_its_headers_is_refused(tmp_path):
    made = kdump(prstatus())
    with pytest.raises(VmcoreFormatError, match="kdump header: need 440 bytes, have 100"):
        read(tmp_path, made[:100])
    with pytest.raises(VmcoreFormatError, match="kdump sub-header: need 64 bytes, have 30"):
        read(tmp_path, made[: PAGE + 30])


def test_notes_past_the_end_of_the_file_are_reported(tmp_path):
    reader = read(tmp_path, kdump(prstatus(), size=10_000))
    assert len(reader.notes) == 1
    assert [str(error) for error in reader.damage] == [
        "note 1's header: need 12 bytes, have 0 bytes"
    ]


def test_impossible_offsets_are_reported(tmp_path):
    made = bytearray(kdump(prstatus()))
    for offset in (1 << 62, (1 << 63) - 1):
        struct.pack_into("<q", made, PAGE + 48, offset)
        assert read(tmp_path, bytes(made)).damage
    struct.pack_into("<q", made, PAGE + 48, -1)
    with pytest.raises(VmcoreFormatError, match="an offset of the notes, have -1"):
        read(tmp_path, bytes(made))


def test_an_impossible_size_is_reported_and_allocates_nothing(tmp_path):
    reader = read(tmp_path, kdump(prstatus(), size=(1 << 64) - 1))
    assert len(reader.notes) == 1
    assert reader.damage
