"""/proc/vmcore: reads, maps, offsets and errors as in the crash kernel."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest
from vmcore_files import PAGE, Elf, Load, prstatus, refused_with, vmcoreinfo

from vmcoredd import vmcore

MEMORY = bytes(range(256)) * 64  # 16 KiB, no two pages' places alike


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base"
    loads = [Load(0x100000, MEMORY), Load(0x200010, b"partial page", memsz=0x2000)]
    path.write_bytes(bytes(Elf(notes=[prstatus(), vmcoreinfo()], loads=loads)))
    with vmcore.ElfCore.open(path) as core:
        yield core


@pytest.fixture
def dumps(base):
    registry = vmcore.DeviceDumps(base)
    yield registry
    registry.close()


def add(dumps, name, byte, pages=1):
    def fill(payload):
        payload[:] = bytes([byte]) * len(payload)

    return dumps.add_device_dump(name, pages * PAGE - 64, fill)


def maps():
    return Path("/proc/self/maps").read_text()


def test_the_file_is_headers_dumps_notes_and_memory(dumps, base):
    first, second = add(dumps, "a", 1), add(dumps, "b", 2, 2)
    data = vmcore.ProcVmcore(dumps).open().read()
    notes = prstatus() + vmcoreinfo()
    parts = [bytes(first.buffer), bytes(second.buffer), notes.ljust(PAGE, b"\0"), MEMORY]
    assert data[PAGE : PAGE + sum(map(len, parts))] == b"".join(parts)
    assert data[-2 * PAGE - 0x1000 :] == (bytes(16) + b"partial page").ljust(3 * PAGE, b"\0")


def test_two_pt_notes_are_merged_into_one(dumps):
    file = vmcore.ProcVmcore(dumps).open()
    assert file.read()[PAGE : PAGE + 700].startswith(prstatus() + vmcoreinfo())
    assert file.pread(2, 56) == b"\x03\0"  # e_phnum: one PT_NOTE, two PT_LOADs


def test_a_read_crosses_every_boundary(dumps):
    add(dumps, "a", 1)
    add(dumps, "b", 2)
    file = vmcore.ProcVmcore(dumps).open()
    whole = file.read()
    for offset in (0, PAGE - 1, 2 * PAGE - 1, 3 * PAGE - 3, 4 * PAGE - 5):
        assert file.pread(2 * PAGE, offset) == whole[offset : offset + 2 * PAGE]
    assert b"".join(file.pread(999, at) for at in range(0, len(whole), 999)) == whole


def test_a_read_stops_at_the_end_of_the_file(dumps):
    proc = vmcore.ProcVmcore(dumps)
    file = proc.open()
    assert len(file.pread(100, proc.size - 7)) == 7
    assert file.pread(100, proc.size) == b""
    assert file.pread(100, proc.size + PAGE) == b""
    assert file.pread(0, 0) == b""


def test_reading_moves_the_offset(dumps):
    file = vmcore.ProcVmcore(dumps).open()
    assert file.read(4) == b"\x7fELF"
    assert file.tell() == 4
    assert file.seek(-2, os.SEEK_CUR) == 2
    assert file.read(2) == b"LF"


def test_memory_keeps_its_offset_within_a_page_and_missing_bytes_are_zeros(dumps):
    file = vmcore.ProcVmcore(dumps).open()
    start = int.from_bytes(file.pread(8, 64 + 2 * 56 + 8), "little")
    assert start % PAGE == 0x10
    assert file.pread(20, start - 0x10) == bytes(16) + b"part"
    assert file.pread(0x2000 - 12, start + 12) == bytes(0x2000 - 12)


def test_the_size_grows_with_a_dump_but_not_that_of_an_open_file(dumps):
    proc = vmcore.ProcVmcore(dumps)
    file = proc.open()
    before = proc.size
    dump = add(dumps, "a", 1, 3)
    assert proc.size == before + dump.size == before + 3 * PAGE
    assert file.stat_size == file.seek(0, os.SEEK_END) == before
    assert file.read() != b""  # but data past the old size can be read
    assert proc.open().stat_size == proc.size


def test_a_dump_added_after_opening_shifts_what_a_reader_sees(dumps):
    file = vmcore.ProcVmcore(dumps).open()
    notes = file.pread(PAGE, PAGE)
    dump = add(dumps, "a", 1)
    assert file.pread(PAGE, PAGE) == bytes(dump.buffer)
    assert file.pread(PAGE, 2 * PAGE) == notes
    add(dumps, "b", 2)
    assert file.pread(PAGE, PAGE) == bytes(dump.buffer)
    assert file.pread(PAGE, 3 * PAGE) == notes


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-1, 1), (-(1 << 40), 2), (0, 9)])
def test_seeking_before_the_start_is_einval(dumps, offset, whence):
    with refused_with(errno.EINVAL):
        vmcore.ProcVmcore(dumps).open().seek(offset, whence)


def test_reading_at_a_negative_offset_is_einval(dumps):
    with refused_with(errno.EINVAL):
        vmcore.ProcVmcore(dumps).open().pread(1, -1)


def test_memory_that_cannot_be_read_is_efault():
    class Broken:
        def fileno(self):
            return os.open("/", os.O_RDONLY)  # reading a directory fails

    core = vmcore.ElfCore(vmcore.elf.ELF64, [], [vmcore.Load(0, 0, PAGE, PAGE, Broken())])
    file = vmcore.ProcVmcore(vmcore.DeviceDumps(core)).open()
    assert len(file.pread(PAGE, 0)) == PAGE
    with refused_with(errno.EFAULT):
        file.pread(PAGE, PAGE)


def test_a_map_of_the_whole_file_equals_a_read_of_it(dumps):
    add(dumps, "a", 1)
    add(dumps, "b", 2, 3)
    proc = vmcore.ProcVmcore(dumps)
    assert bytes(proc.open().mmap(proc.size)) == proc.open().read()


def test_a_map_may_begin_at_any_page_and_cross_any_boundary(dumps):
    add(dumps, "a", 1)
    add(dumps, "b", 2, 2)
    proc = vmcore.ProcVmcore(dumps)
    whole = proc.open().read()
    for first in range(0, proc.size, PAGE):
        for size in (PAGE, 2 * PAGE + 1):
            if first + size <= proc.size - PAGE:
                assert proc.open().mmap(size, first) == whole[first : first + size]


def test_a_map_is_read_only(dumps):
    view = vmcore.ProcVmcore(dumps).open().mmap(PAGE)
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 0


def test_a_mapped_page_stays_that_of_its_dump_and_header_pages_change(dumps):
    first = add(dumps, "a", 1)
    view = vmcore.ProcVmcore(dumps).open().mmap(3 * PAGE)
    notes = bytes(view[2 * PAGE :])
    add(dumps, "b", 2)
    first.payload[0] = 0xEE
    assert view[PAGE + 64] == 0xEE
    assert bytes(view[2 * PAGE :]) == notes
    segment = int.from_bytes(view[64 + 32 : 64 + 40], "little")
    assert segment == len(prstatus() + vmcoreinfo()) + 2 * PAGE


def test_a_view_outlives_the_file_the_dumps_and_the_base(dumps, base):
    dump = add(dumps, "a", 7)
    expected = bytes(dump.buffer)
    view = vmcore.ProcVmcore(dumps).open().mmap(PAGE, PAGE)
    del dump
    dumps.close()
    base.close()
    assert view == expected


@pytest.mark.parametrize("prot", [mmap.PROT_WRITE, mmap.PROT_EXEC, mmap.PROT_READ | 2])
def test_a_writable_or_executable_map_is_eperm(dumps, prot):
    with refused_with(errno.EPERM):
        vmcore.ProcVmcore(dumps).open().mmap(PAGE, 0, prot)


@pytest.mark.parametrize(("length", "offset"), [(0, 0), (-1, 0), (PAGE, 1), (PAGE, -PAGE)])
def test_an_empty_or_unaligned_map_is_einval(dumps, length, offset):
    with refused_with(errno.EINVAL):
        vmcore.ProcVmcore(dumps).open().mmap(length, offset)


@pytest.mark.parametrize("prot", [mmap.PROT_READ, mmap.PROT_WRITE])
def test_a_map_beyond_the_end_is_einval_whatever_its_protection(dumps, prot):
    proc = vmcore.ProcVmcore(dumps)
    for length, offset in ((proc.size + 1, 0), (2 * PAGE, proc.size - PAGE), (PAGE, proc.size)):
        with refused_with(errno.EINVAL):
            proc.open().mmap(length, offset, prot)


def test_a_map_beyond_the_old_end_is_possible_once_a_dump_is_added(dumps):
    proc = vmcore.ProcVmcore(dumps)
    file = proc.open()
    end = proc.size
    add(dumps, "a", 1)
    assert len(file.mmap(PAGE, end)) == PAGE


def test_memory_unaligned_in_its_file_is_eagain_but_can_be_read(tmp_path):
    """makedumpfile then falls back to read, as it does on a kernel that cannot map."""
    path = tmp_path / "askew"
    path.write_bytes(bytes(Elf(loads=[Load(0x100000, MEMORY)], align=8)))
    with vmcore.ElfCore.open(path) as core:
        proc = vmcore.ProcVmcore(vmcore.DeviceDumps(core))
        with refused_with(errno.EAGAIN):
            proc.open().mmap(proc.size)
        assert proc.open().read()[PAGE:] == MEMORY


def test_a_failed_map_leaves_nothing_mapped(tmp_path):
    path = tmp_path / "askew"
    path.write_bytes(bytes(Elf(loads=[Load(0x100000, MEMORY)], align=8)))
    with vmcore.ElfCore.open(path) as core:
        proc = vmcore.ProcVmcore(vmcore.DeviceDumps(core))
        proc.open().mmap(PAGE)
        before = len(maps().splitlines())
        errors = []
        for _ in range(20):
            with refused_with(errno.EAGAIN) as error:
                proc.open().mmap(proc.size)
            errors.append(error)
        assert len(maps().splitlines()) <= before + 2


def test_a_mapping_ends_with_its_last_view(dumps):
    add(dumps, "a", 1)
    file = vmcore.ProcVmcore(dumps).open()

    before = maps().count("vmcoredd")
    view = file.mmap(3 * PAGE)
    part = view[PAGE : 2 * PAGE]
    assert maps().count("vmcoredd") == before + 1
    del view
    assert maps().count("vmcoredd") == before + 1
    del part
    assert maps().count("vmcoredd") == before


def test_elf32_files_have_the_same_content(tmp_path):
    path = tmp_path / "base"
    path.write_bytes(bytes(Elf(notes=[prstatus()], loads=[Load(0x100000, MEMORY)], bits=32)))
    with vmcore.ElfCore.open(path) as core:
        dumps = vmcore.DeviceDumps(core)
        dump = add(dumps, "a", 1)
        proc = vmcore.ProcVmcore(dumps)
        parts = [bytes(dump.buffer), prstatus().ljust(PAGE, b"\0"), MEMORY]
        assert proc.open().read()[PAGE:] == b"".join(parts)


def test_only_its_owner_can_read_the_entry(dumps):
    assert vmcore.ProcVmcore(dumps).mode == 0o400


def test_proc_vmcore_cannot_be_written(dumps):
    assert not vmcore.ProcVmcore(dumps).open().writable()
