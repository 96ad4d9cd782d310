"""The crash context read from a file."""

from __future__ import annotations

import os
import struct

import pytest
from vmcore_files import PAGE, Elf, Load, closing_all, dump_note, kdump, note, prstatus, vmcoreinfo

from vmcoredd import vmcore
from vmcoredd.vmcore import basenotes
from vmcoredd.vmcore.errors import VmcoreFormatError


@pytest.fixture
def opened(tmp_path):
    def make(data):
        path = tmp_path / "base"
        path.write_bytes(bytes(data))
        return vmcore.ElfCore.open(path)

    return make


def test_machine_flags_and_ident_are_kept(opened):
    data = bytearray(bytes(Elf([prstatus()], machine=183)))
    data[7] = 3  # EI_OSABI: Linux
    struct.pack_into("<I", data, 48, 0x1234)
    with opened(data) as core:
        assert (core.machine, core.flags, core.ident[7]) == (183, 0x1234, 3)


def test_memory_is_described_not_read(opened):
    with opened(Elf(loads=[Load(0x1000, b"abc", memsz=0x2000, vaddr=0x5000, flags=5)])) as core:
        load = core.loads[0]
        assert (load.paddr, load.vaddr, load.filesz, load.memsz, load.flags) == (
            *(0x1000, 0x5000, 3, 0x2000),
            5,
        )
        assert os.pread(load.source.fileno(), 3, load.offset) == b"abc"


def test_notes_of_all_segments_are_merged(opened):
    with opened(Elf([prstatus() + bytes(100), vmcoreinfo()])) as core:
        assert core.notes_size == len(prstatus() + vmcoreinfo())
        assert [extent.start for extent in core.notes] == [0, len(prstatus())]


CUT = struct.pack("<III", 5, 0xFFFFFFF0, 1) + bytes(range(20))  # a note larger than its segment
NAMELESS = note(b"", 1, b"nameless")
UNPADDED = note(b"CORE", 9, b"seven..")[:-1]
ZEROS_BETWEEN = prstatus() + bytes(12) + prstatus()


def merged(core):
    """The bytes of the merged note segment."""
    data = bytearray(core.notes_size)
    for extent in core.notes:
        extent.read_into(memoryview(data)[extent.start : extent.end])
    return bytes(data)


@pytest.mark.parametrize(
    ("segment", "kept"),
    [
        (prstatus() + bytes(500), prstatus()),
        (prstatus() + bytes(3), prstatus()),
        (prstatus() + NAMELESS + prstatus(), prstatus() + NAMELESS + prstatus()),
        (prstatus() + UNPADDED, prstatus() + UNPADDED + b"\0"),
        (prstatus() + CUT, prstatus() + CUT),
        (prstatus() + b"\5\0\0", prstatus() + b"\5\0\0\0"),
        (ZEROS_BETWEEN, ZEROS_BETWEEN),
        (dump_note(b"old", bytes(4032)) + prstatus(),) * 2,
        (b"", b""),
    ],
)
@pytest.mark.parametrize("align", [0, 1, 4])
def test_every_byte_of_a_note_segment_but_padding_is_kept(opened, segment, kept, align):
    with opened(Elf([segment], note_align=align)) as core:
        assert merged(core) == kept
        assert len(core.loads) == 0


def test_notes_padded_to_eight_bytes_are_padded_to_four(opened):
    names = (b"CORE", b"LINUX", b"VMCOREINFO", b"")
    notes = [(name, number, b"d" * size) for name in names for number, size in ((1, 5), (2, 16))]
    segment = b"".join(note(*each, align=8) for each in notes)
    with opened(Elf([segment, vmcoreinfo()], note_align=8)) as core:
        assert merged(core) == b"".join(note(*each) for each in notes) + vmcoreinfo()
        assert len(core.loads) == 0


def test_notes_said_to_be_padded_to_eight_bytes_but_padded_to_four_are_kept(opened):
    segment = note(b"CORE", 1, b"12345") + note(b"LINUX", 2, b"x")
    with opened(Elf([segment], note_align=8)) as core:
        assert merged(core) == segment


def test_what_can_hide_notes_comes_last_or_stays_a_segment_of_its_own(opened):
    second = NAMELESS + bytes(12) + prstatus()
    with opened(Elf([ZEROS_BETWEEN, vmcoreinfo(), second])) as core:
        assert merged(core) == vmcoreinfo() + ZEROS_BETWEEN
        (kept,) = core.loads
        assert (kept.type, kept.filesz, kept.memsz, kept.align) == (4, *[len(second)] * 2, 4)
        assert os.pread(kept.source.fileno(), kept.filesz, kept.offset) == second


def test_damaged_notes_padded_to_eight_bytes_stay_a_segment_of_their_own(opened):
    with opened(Elf([note(b"CORE", 1, b"12345", align=8) + CUT], note_align=8)) as core:
        assert (core.notes_size, [load.align for load in core.loads]) == (0, [8])


def test_more_notes_than_are_examined_are_kept(opened, monkeypatch):
    monkeypatch.setattr(basenotes, "MAX_NOTES", 2)
    segment = NAMELESS * 3
    with opened(Elf([segment])) as core:
        assert merged(core) == segment


def test_more_note_segments_than_the_reader_takes_are_refused(opened, monkeypatch):
    monkeypatch.setattr("vmcoredd.vmcore.core.MAX_NOTE_SEGMENTS", 2)
    with pytest.raises(VmcoreFormatError, match="the base: need at most 2 note segments"):
        opened(Elf([prstatus()] * 3))


def test_other_program_headers_are_kept(opened):
    stack = (0x6474E551, 1 << 60, 0, 0)  # PT_GNU_STACK, without data
    with opened(Elf([prstatus()], [Load(0, b"x")], others=[stack, (0, 5, 6, 7)])) as core:
        assert [load.type for load in core.loads] == [0x6474E551, 1]


def test_memory_at_unknown_physical_addresses_is_taken(opened):
    """/proc/kcore has a p_paddr of -1 for memory without one."""
    loads = [Load((1 << 64) - 1, b"vmalloc", vaddr=0xFFFFC90000000000), Load(0x1000, b"ram")]
    with opened(Elf([prstatus()], loads)) as core:
        assert [load.paddr for load in core.loads] == [(1 << 64) - 1, 0x1000]


SECTION = struct.Struct("<IIQQQQIIQQ")


def with_sections(core, *sections):
    """The core file with section headers (type, offset, size) and their names behind it."""
    names = b"\0.notes\0.names\0"
    rows = [(0, 0, 0, 0), *((1, *each) for each in sections), (8, 3, len(core), len(names))]
    table = b"".join(SECTION.pack(n, t, 0, 0, at, size, 0, 0, 0, 0) for n, t, at, size in rows)
    data = bytearray(core + names + table)
    struct.pack_into("<Q", data, 40, len(core) + len(names))
    struct.pack_into("<HHH", data, 58, SECTION.size, len(rows), len(rows) - 1)
    return data


def test_sections_that_repeat_segments_are_no_obstacle(opened):
    """As gdb's gcore writes them."""
    core = bytes(Elf([prstatus(), vmcoreinfo()], [Load(0, bytes(PAGE))]))
    sections = [(7, PAGE, 356), (7, PAGE, 100), (1, 3 * PAGE, PAGE), (8, 1 << 50, 1)]
    with opened(with_sections(core, *sections)) as base:
        assert base.notes_size == len(prstatus() + vmcoreinfo())


def test_data_that_only_a_section_has_are_refused_with_its_name(opened):
    """As in the core of a Xen domain, which has its notes in a section."""
    core = bytes(Elf([], [Load(0, bytes(PAGE))])) + prstatus()
    words = r"the base: need all data in segments, have 356 bytes in section 1 \(.notes\) alone"
    with pytest.raises(VmcoreFormatError, match=words):
        opened(with_sections(core, (7, len(core) - 356, 356)))


def test_a_truncated_base_is_refused_and_the_missing_part_named(opened):
    whole = bytes(Elf([prstatus()], [Load(0, bytes(2 * PAGE))]))
    with pytest.raises(
        VmcoreFormatError, match="program header 1's data: need 16384 bytes, have 12288"
    ):
        opened(whole[:-PAGE])
    with pytest.raises(VmcoreFormatError, match="ELF program headers"):
        opened(whole[:100])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (32, 101, "at most its memory, 100 bytes, have 101"),
        (24, (1 << 64) - 50, "addresses of 64 bits, have 100 bytes at 0xffffffffffffffce"),
        (8, (1 << 64) - 10, "program header 0's data: need 18446744073709551706 bytes"),
    ],
)
def test_impossible_sizes_are_refused(opened, field, value, words):
    data = bytearray(bytes(Elf(loads=[Load(0, bytes(100))]))) + bytes(100)
    struct.pack_into("<Q", data, 64 + field, value)
    with pytest.raises(VmcoreFormatError, match=words):
        opened(data)


def test_a_kdump_file_cannot_be_a_base(opened):
    with pytest.raises(
        VmcoreFormatError, match="the base: need an ELF core file, have a kdump file"
    ):
        opened(kdump(prstatus()))


def test_another_file_cannot_be_a_base(opened, tmp_path):
    with pytest.raises(VmcoreFormatError, match="have first bytes 6a 75 6e 6b"):
        opened(b"junk")
    with pytest.raises(VmcoreFormatError, match="need a regular file"):
        vmcore.ElfCore.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        vmcore.ElfCore.open(tmp_path / "none")


def test_opening_a_refused_base_leaves_no_descriptor(opened):
    with closing_all(), pytest.raises(VmcoreFormatError):
        opened(b"junk")


def test_close_closes_the_base(opened):
    with closing_all():
        core = opened(Elf([prstatus()]))
        core.close()
        core.close()


def test_a_core_stays_open_while_dumps_use_it(opened):
    """Notes and memory keep the file open: a vmcore can be made after the name is deleted."""
    dumps = vmcore.DeviceDumps(opened(Elf([prstatus()], [Load(0, b"mem")])))
    assert vmcore.ProcVmcore(dumps).open().read()[PAGE : PAGE + 4] == b"\5\0\0\0"
