"""The crash context read from a file."""

from __future__ import annotations

import os
import struct

import pytest
from vmcore_files import PAGE, Elf, Load, dump_note, kdump, note, prstatus, vmcoreinfo

from vmcoredd import vmcore
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


@pytest.mark.parametrize(
    ("segment", "kept"),
    [
        (prstatus() + bytes(500), 356),
        (prstatus() + note(b"", 1, b"nameless") + prstatus(), 356),
        (prstatus() + struct.pack("<III", 5, 0xFFFFFFF0, 1) + bytes(20), 356),
        (prstatus() + b"\5\0\0", 356),
        (dump_note(b"old", bytes(4032)) + prstatus(), 4096 + 356),
        (b"", 0),
    ],
)
def test_a_note_without_name_or_room_ends_the_notes_as_in_the_kernel(opened, segment, kept):
    with opened(Elf([segment])) as core:
        assert core.notes_size == kept


def test_other_program_headers_are_ignored(opened):
    stack = (0x6474E551, 1 << 60, 0, 0)  # PT_GNU_STACK, with an offset that would be refused
    with opened(Elf([prstatus()], [Load(0, b"x")], others=[stack])) as core:
        assert (len(core.loads), core.notes_size) == (1, 356)


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
        (24, (1 << 64) - 50, "64-bit addresses, have 100 bytes of memory"),
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
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(VmcoreFormatError):
        opened(b"junk")
    assert len(os.listdir("/proc/self/fd")) == before


def test_close_closes_the_base(opened):
    before = len(os.listdir("/proc/self/fd"))
    core = opened(Elf([prstatus()]))
    core.close()
    core.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_core_stays_open_while_dumps_use_it(opened):
    """Notes and memory keep the file open: a vmcore can be made after the name is deleted."""
    dumps = vmcore.DeviceDumps(opened(Elf([prstatus()], [Load(0, b"mem")])))
    assert vmcore.ProcVmcore(dumps).open().read()[PAGE : PAGE + 4] == b"\5\0\0\0"
