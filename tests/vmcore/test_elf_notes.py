"""Where the notes of core files are: segments, sections, or nowhere."""

from __future__ import annotations

import struct

import pytest
from vmcore_files import Elf, Load, dump_note, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import VmcoreFormatError

INCOMPLETE = (
    "ELF header: need a complete dump, "
    "have one that makedumpfile marked as incomplete (it had no space left)"
)


def read(tmp_path, data):
    path = tmp_path / "vmcore"
    path.write_bytes(bytes(data))
    return vmcore.Reader(path)


def damage(reader):
    return [str(error) for error in reader.damage]


def xen(sections, bits=64, order="<", counted=True):
    """A core file as Xen writes it: no program headers. A section is (type, bytes, alignment)."""
    ehsize, shsize, word = (64, 64, "Q") if bits == 64 else (52, 40, "I")
    total = len(sections) + 1
    ident = bytes([0x7F, *b"ELF", bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    shape = f"{order}HHI{word * 3}IHHHHHH"
    number = total if counted else 0
    head = ident + struct.pack(shape, 4, 62, 1, 0, 0, ehsize, 0, ehsize, 0, 0, shsize, number, 1)
    section = f"{order}II{word * 4}II{word * 2}"
    table = struct.pack(section, 0, 0, 0, 0, 0, 0 if counted else total, 0, 0, 0, 0)
    body, start = b"", ehsize + total * shsize
    for kind, data, align in sections:
        at = start + len(body)
        table += struct.pack(section, 1, kind, 0, 0, at, len(data), 0, 0, align, 0)
        body += data
    return head + table + body


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("counted", [True, False])
def test_the_notes_of_a_core_without_program_headers_are_in_its_sections(
    tmp_path, bits, order, counted
):
    notes = prstatus(order) + dump_note(b"card", b"payload.", order)
    made = xen([(3, b"\0.note\0\0", 1), (7, notes, 4), (1, b"memory", 1)], bits, order, counted)
    with read(tmp_path, made) as reader:
        assert [note.owner for note in reader.notes] == ["CORE", "LINUX"]
        assert (reader.payload(1), reader.damage) == (b"payload.", ())


def test_a_core_that_ends_within_a_section_is_reported(tmp_path):
    made = xen([(7, prstatus(), 4), (8, b"", 1), (1, b"memory", 1)])
    reader = read(tmp_path, made[:-1])
    assert len(reader.notes) == 1
    assert damage(reader) == [
        f"file with its segments: need {len(made)} bytes, have {len(made) - 1} bytes: "
        "the file is cut: copy it again"
    ]


def test_a_section_table_that_is_cut_short_is_reported(tmp_path):
    reader = read(tmp_path, xen([(7, b"", 4)] * 3)[: 64 + 100])
    assert damage(reader) == ["ELF section headers: need 256 bytes, have 100 bytes"]


def test_a_core_with_neither_program_headers_nor_note_sections_is_reported(tmp_path):
    words = "ELF core file: need program headers, or sections with notes, have neither"
    assert damage(read(tmp_path, Elf())) == [words]
    assert damage(read(tmp_path, xen([(1, b"memory", 1)]))) == [words]


def test_a_core_with_memory_alone_is_complete(tmp_path):
    reader = read(tmp_path, Elf(loads=[Load(0, b"memory")]))
    assert (reader.notes, reader.damage) == ((), ())


def test_a_count_of_program_headers_in_section_0_that_is_0_is_refused(tmp_path):
    made = bytearray(bytes(Elf([prstatus()], xnum=True)))
    struct.pack_into("<I", made, 64 + 56 + 44, 0)
    with pytest.raises(
        VmcoreFormatError,
        match="ELF section header 0: need the number of program headers, have 0",
    ):
        read(tmp_path, made)


@pytest.mark.parametrize("machine", [3, 20, 22, 62, 183])
def test_makedumpfiles_mark_of_an_incomplete_file_is_reported(tmp_path, machine):
    made = bytearray(bytes(Elf([prstatus()], machine=machine)))
    struct.pack_into("<I", made, 48, 1)
    reader = read(tmp_path, made)
    assert len(reader.notes) == 1
    assert damage(reader) == [INCOMPLETE]


@pytest.mark.parametrize("machine", [8, 21, 40, 243, 258])
def test_on_machines_whose_abi_uses_the_bit_it_is_no_mark(tmp_path, machine):
    made = bytearray(bytes(Elf([prstatus()], machine=machine)))
    struct.pack_into("<I", made, 48, 1)
    assert damage(read(tmp_path, made)) == []
