"""Walks over note segments, valid and invalid."""

from __future__ import annotations

import struct

import pytest
from vmcore_files import dump_note, note, prstatus, vmcoreinfo

from vmcoredd.vmcore import notes as module
from vmcoredd.vmcore.elf import ELF64, ELF64_BE
from vmcoredd.vmcore.extents import MemoryFile
from vmcoredd.vmcore.notes import NoteSegment, NoteWalk


def walk(data, size=None, layout=ELF64, align=4):
    """Returns the notes in `data`, whose segment claims `size` bytes, and the damage."""
    file = MemoryFile("notes", max(len(data), 1))
    file.view[: len(data)] = data
    segment = NoteSegment(0, len(data) if size is None else size, align)
    walker = NoteWalk(file.fileno(), len(data), segment, layout)
    found = list(walker)
    return found, [str(error) for error in walker.damage]


def test_a_walk_yields_offset_owner_type_and_size():
    found, damage = walk(prstatus() + vmcoreinfo(b"A=1\n"))
    assert damage == []
    assert [(n.index, n.offset, n.size, n.owner, n.type) for n in found] == [
        (0, 0, 336, "CORE", 1),
        (1, 356, 4, "VMCOREINFO", 0),
    ]
    assert (found[1].payload_offset, found[1].payload_size, found[1].name) == (356 + 24, 4, None)


def test_a_device_dumps_payload_follows_its_name():
    found, damage = walk(dump_note(b"cxgb4_0000:00:02.0", b"data" * 8))
    assert damage == []
    only = found[0]
    assert (only.name, only.is_device_dump, only.is_complete) == ("cxgb4_0000:00:02.0", True, True)
    assert (only.size, only.payload_offset, only.payload_size) == (44 + 32, 64, 32)


def test_a_dump_name_that_fills_its_field_has_no_nul():
    assert walk(dump_note(b"n" * 44, b"data"))[0][0].name == "n" * 44


def test_a_name_is_escaped_for_terminals():
    assert walk(dump_note(b"\x1b[2Jevil\n\xff", b""))[0][0].name == "\\x1b[2Jevil\\n\\xff"


@pytest.mark.parametrize(
    ("owner", "number", "name"),
    [
        (b"CORE", 1, "NT_PRSTATUS"),
        (b"LINUX", 0x700, "NT_VMCOREDD"),
        (b"LINUX", 0x202, "NT_X86_XSTATE"),
        (b"VMCOREINFO", 0, "0x00000000"),
        (b"CORE", 0x700, "0x00000700"),
        (b"QEMU", 0, "0x00000000"),
    ],
)
def test_a_types_name_depends_on_its_owner(owner, number, name):
    assert walk(note(owner, number, bytes(64)))[0][0].type_name == name


def test_type_0x700_of_another_owner_is_no_device_dump():
    found, damage = walk(note(b"ELSE", 0x700, bytes(64)))
    assert (found[0].is_device_dump, damage) == (False, [])


def test_zeros_after_the_last_note_are_padding():
    found, damage = walk(prstatus() + bytes(500))
    assert (len(found), damage) == (1, [])
    assert walk(prstatus() + bytes(7)) == (found, [])


@pytest.mark.parametrize("zeros", [12, 16, 24, 500, 3 << 20])
@pytest.mark.parametrize("order", ["<", ">"])
def test_zeros_between_notes_are_reported_and_the_notes_behind_them_listed(zeros, order):
    layout = ELF64 if order == "<" else ELF64_BE
    data = prstatus(order) + bytes(zeros) + dump_note(b"card", b"1234", order) + prstatus(order)
    found, damage = walk(data + bytes(100), layout=layout)
    assert [n.owner for n in found] == ["CORE", "LINUX", "CORE"]
    assert (found[1].name, found[1].offset) == ("card", 356 + zeros)
    assert damage == [
        f"note 1 at 0x164: need its header, have {zeros} bytes of zeros, then more bytes"
    ]


def test_zeros_before_the_first_note_are_reported():
    found, damage = walk(bytes(16) + note(b"GNU", 5, b"abcdefgh", align=8), align=8)
    assert [(n.owner, n.offset) for n in found] == [("GNU", 16)]
    assert damage == ["note 0 at 0x0: need its header, have 16 bytes of zeros, then more bytes"]


def test_bytes_behind_zeros_that_are_no_note_are_reported():
    found, damage = walk(prstatus() + bytes(40) + b"\1\2\3")
    assert len(found) == 1
    assert damage == [
        "note 1 at 0x164: need its header, have 40 bytes of zeros, then more bytes",
        "note 1's header: need 12 bytes, have 3 bytes",
    ]


def test_the_search_behind_zeros_is_limited(monkeypatch):
    file = MemoryFile("notes", 1000)
    walker = NoteWalk(file.fileno(), 1000, NoteSegment(0, 1000), ELF64, max_padding=600)
    assert list(walker) == []
    assert (walker.padding_left, walker.is_cut) == (0, True)
    assert [str(error) for error in walker.damage] == [
        "zeros at 0x0: need at most 67108864 bytes, have more"
    ]


def test_a_note_without_owner_is_a_note():
    found, damage = walk(note(b"", 5, b"abcd"))
    assert [(n.owner, n.type, n.size) for n in found] == [("", 5, 4)]
    assert damage == []


def test_big_endian_notes_are_read():
    found, damage = walk(dump_note(b"d", b"1234", ">") + prstatus(">"), layout=ELF64_BE)
    assert [n.size for n in found] == [48, 336]
    assert damage == []


def test_notes_padded_to_eight_bytes_are_read():
    data = note(b"GNU", 5, b"abcd", align=8) + note(b"GNU", 5, b"x", align=8)
    found, damage = walk(data, align=8)
    assert [(n.size, n.payload_offset) for n in found] == [(4, 16), (1, 24 + 16)]
    assert damage == []


def test_a_descriptor_longer_than_its_segment_is_listed_as_incomplete():
    data = struct.pack("<III8s44s", 8, 0xFFFFFFF0, 0x700, b"LINUX", b"big") + b"abcdefgh"
    found, damage = walk(prstatus() + data)
    assert (found[1].name, found[1].size, found[1].present) == ("big", 0xFFFFFFF0, 8)
    assert not found[1].is_complete
    assert damage == ["note 1 (LINUX): need 4294967280 bytes, have 52 bytes"]


def test_a_note_at_a_truncated_end_is_listed_as_incomplete():
    data = dump_note(b"d", b"x" * 1000)
    found, damage = walk(data[:164], size=len(data))
    assert (found[0].payload_size, found[0].present) == (1000, 100)
    assert damage == ["note 0 (LINUX): need 1044 bytes, have 144 bytes"]


def test_a_file_that_ends_within_a_header_is_reported():
    found, damage = walk((prstatus() * 2)[:360], size=712)
    assert len(found) == 1
    assert damage == ["note 1's header: need 12 bytes, have 4 bytes"]


def test_a_file_that_ends_within_padding_is_not_another_note():
    found, damage = walk(prstatus() + bytes(20), size=4096)
    assert (len(found), damage) == (1, [])


def test_a_segment_that_ends_within_a_header_is_reported():
    found, damage = walk(prstatus() + b"\1\2\3\4\5")
    assert len(found) == 1
    assert damage == ["note 1's header: need 12 bytes, have 5 bytes"]


def test_a_name_longer_than_the_segment_ends_the_walk():
    found, damage = walk(prstatus() + struct.pack("<III", 0xFFFFFFFF, 4, 1) + bytes(8))
    assert len(found) == 1
    assert damage == ["note 1's name: need 4294967295 bytes, have 8 bytes"]


def test_a_device_dump_too_short_for_its_name_is_listed_without_one():
    found, damage = walk(note(b"LINUX", 0x700, bytes(43)) + prstatus())
    assert [n.name for n in found] == [None, None]
    assert damage == ["note 0's device dump name: need 44 bytes, have 43 bytes"]


def test_a_long_owner_is_truncated_and_the_next_note_is_found():
    found, damage = walk(note(b"o" * 1000, 1, b"") + prstatus())
    assert [len(n.owner) for n in found] == [module.MAX_OWNER, 4]
    assert damage == []


def test_there_is_no_limit_of_64_dumps():
    found, damage = walk(b"".join(dump_note(b"d%d" % n, b"1234") for n in range(1000)))
    assert [n.name for n in found] == [f"d{n}" for n in range(1000)]
    assert damage == []


def test_the_number_of_notes_is_limited(monkeypatch):
    monkeypatch.setattr(module, "MAX_NOTES", 10)
    found, damage = walk(note(b"X", 1, b"") * 11)
    assert len(found) == 10
    assert damage == ["notes: need at most 10, have more, which are not listed"]


def test_an_empty_segment_has_no_notes():
    assert walk(b"") == ([], [])
