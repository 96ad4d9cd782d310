"""makedumpfile's kdump-compressed format, from independent headers and from QEMU's."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest
from vmcore_files import PAGE, Kdump, dump_note, kdump, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import VmcoreFormatError

QEMU = Path(__file__).parent / "data"


def read(tmp_path, data):
    path = tmp_path / "kdump"
    path.write_bytes(data)
    return vmcore.Reader(path)


def damage(reader):
    return [str(error) for error in reader.damage]


# Layouts.

WIDTHS = [  # (bits, aligned, timeval)
    (64, True, 64),
    *itertools.product([32], [True, False], [32, 64]),
]
POWERS = [1 << n for n in range(9, 21)]
OTHERS = [0, 1, 511, 0x12345, 0x48000, 0x100001]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize(("bits", "aligned", "timeval"), WIDTHS)
@pytest.mark.parametrize("block", [512, 1024, 4096, 65536])
def test_every_layout_is_recognised_whatever_the_number_of_pages(
    tmp_path, bits, aligned, timeval, version, order, block
):
    notes = prstatus(order) + dump_note(b"card", b"payload.", order)
    for pages in POWERS + OTHERS:
        made = Kdump(notes, version, bits, order, b"", block, None, None, aligned, timeval)
        made.max_mapnr = pages
        with read(tmp_path, bytes(made)) as reader:
            found = [(n.owner, n.size) for n in reader.notes]
            assert found == [("CORE", 336), ("LINUX", 52)], pages
            assert (reader.payload(1), reader.damage) == (b"payload.", ())


@pytest.mark.parametrize("machine", [b"", b"Unknown", b"i686", b"x86_64", b"armv7l", b"\0\0\0\0i6"])
@pytest.mark.parametrize(("bits", "aligned", "timeval"), WIDTHS)
def test_the_machines_name_decides_nothing(tmp_path, bits, aligned, timeval, machine):
    made = Kdump(prstatus(), bits=bits, aligned=aligned, timeval=timeval, machine=machine)
    assert len(read(tmp_path, bytes(made)).notes) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "aligned", "timeval"), WIDTHS)
def test_a_damaged_first_note_does_not_change_the_layout(tmp_path, bits, aligned, timeval, order):
    notes = bytearray(prstatus(order) * 2)
    struct.pack_into(order + "I", notes, 4, 0x1000)
    made = Kdump(bytes(notes), 6, bits, order, aligned=aligned, timeval=timeval, max_mapnr=1 << 15)
    reader = read(tmp_path, bytes(made))
    assert damage(reader) == ["note 0 (CORE): need 4096 bytes, have 692 bytes"]


ARM = [("CORE", 1, 148), ("LINUX", 0x400, 260)]
PPC = [
    ("CORE", number, size)
    for number, size in zip([1, 2, 0x100, 0x102, 0x101], [328, 260, 544, 256, 140], strict=True)
]


@pytest.mark.parametrize(
    ("name", "notes"), [("arm-128", ARM), ("arm-1024", ARM), ("ppc-128", PPC), ("ppc-1024", PPC)]
)
def test_the_notes_of_files_from_qemu_are_found(name, notes):
    """The files end behind their notes; QEMU 11.1 wrote them with `dump-guest-memory -z -R`."""
    with vmcore.Reader(QEMU / f"qemu-{name}.kdump") as reader:
        assert [(n.owner, n.type, n.size) for n in reader.notes] == notes
        assert [error.what for error in reader.damage] == ["file with its bitmaps"]


def test_notes_elsewhere_are_found(tmp_path):
    made = kdump(dump_note(b"card", b"payload."), offset=0x3000)
    assert read(tmp_path, made).notes[0].offset == 0x3000


# Refusals.


def test_a_version_without_notes_is_refused(tmp_path):
    with pytest.raises(VmcoreFormatError, match="version 4 for a file with notes, have version 3"):
        read(tmp_path, kdump(prstatus(), version=3))


def test_a_version_that_is_large_in_both_byte_orders_is_refused(tmp_path):
    with pytest.raises(VmcoreFormatError, match="a version from 1 to 255, have none"):
        read(tmp_path, kdump(prstatus(), version=0x01000001))


@pytest.mark.parametrize("block", [0, -4096, 1000, 1 << 21, 0x7FFFFFFF])
def test_an_invalid_block_size_is_refused(tmp_path, block):
    made = bytearray(kdump(prstatus()))
    struct.pack_into("<QIi", made, 416, 0, 0, block)
    with pytest.raises(VmcoreFormatError, match="a block size that is a power of two"):
        read(tmp_path, bytes(made))


def test_a_file_that_ends_within_its_headers_is_refused(tmp_path):
    made = kdump(prstatus())
    with pytest.raises(VmcoreFormatError, match="kdump header: need 444 bytes, have 100"):
        read(tmp_path, made[:100])
    with pytest.raises(VmcoreFormatError, match="kdump sub-header: need 64 bytes, have 30"):
        read(tmp_path, made[: PAGE + 30])


# Damage.


def test_notes_past_the_end_of_the_file_are_reported(tmp_path):
    reader = read(tmp_path, kdump(prstatus(), size=100_000)[: PAGE + 104 + 356])
    assert len(reader.notes) == 1
    assert damage(reader) == [
        "file with its notes: need 104200 bytes, have 4556 bytes",
        "note 1's header: need 12 bytes, have 0 bytes",
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


@pytest.mark.parametrize("notes", [b"", bytes(100)])
@pytest.mark.parametrize("version", [4, 5, 6])
def test_a_file_without_notes_is_reported(tmp_path, version, notes):
    made = kdump(notes, version=version)
    assert damage(read(tmp_path, made)) == ["kdump file: need notes, have none"]


def test_the_mark_of_an_incomplete_dump_is_reported(tmp_path):
    reader = read(tmp_path, kdump(prstatus(), status=0x8 | 0x1))
    assert len(reader.notes) == 1
    assert damage(reader) == [
        "kdump header: need a complete dump, "
        "have one that makedumpfile marked as incomplete (it had no space left)"
    ]
