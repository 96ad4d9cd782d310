"""Offsets and sizes: the kernel's arithmetic on program headers."""

from __future__ import annotations

import struct

import pytest

from vmcoredd import vmcore
from vmcoredd.vmcore.elf import ELF32, ELF64, PAGE_SIZE
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import within
from vmcoredd.vmcore.image import Image

PHDR64 = struct.Struct("<IIQQQQQQ")  # type flags offset vaddr paddr filesz memsz align
PHDR32 = struct.Struct("<8I")  # type offset vaddr paddr filesz memsz flags align


class Sized:
    """A dump for the arithmetic: it has only a size."""

    def __init__(self, size):
        self.size = size

    def fileno(self):
        raise AssertionError("nobody may look inside")


def core(loads, notes_size=0, layout=ELF64):
    notes = [(Sized(0), 0, notes_size)] if notes_size else []
    return vmcore.ElfCore(layout, notes, [vmcore.Load(*load, None) for load in loads])


def phdrs(image, count):
    header = next(iter(image.extents)).source.view
    return [PHDR64.unpack_from(header, 64 + 56 * index) for index in range(count)]


def test_the_seeds_note_segment_is_two_dumps_and_the_default_notes():
    """p_filesz 0x040032c0 at 0x1000, as readelf showed in the patch series."""
    dumps = vmcore.DeviceDumps()
    for name in ("a", "b"):
        dumps.add_device_dump(name, 0x2000ED8, lambda payload: 0)
    note = phdrs(dumps.image, 1)[0]
    assert note == (4, 0, 0x1000, 0, 0, 0x40032C0, 0x40032C0, 0)


def test_memory_follows_the_page_rounded_notes_and_keeps_its_offset_in_a_page():
    image = Image(core([(0x1000234, 7, 0x1000, 0x1000), (0x3000, 7, 0x10, 0x10)], 100))
    assert [phdr[2] for phdr in phdrs(image, 3)] == [0x1000, 0x2234, 0x4000]
    assert image.size == 0x5000


def test_a_dump_moves_all_memory_by_its_buffer_and_leaves_the_notes_where_they_start():
    image = Image(core([(0x1000234, 7, 0x1000, 0x1000), (0x3000, 7, 0x10, 0x10)], 100))
    before = image.size
    image.update([Sized(0x2001000)])
    note, *loads = phdrs(image, 3)
    assert note[2] == 0x1000
    assert note[5] == note[6] == 100 + 0x2001000
    assert [load[2] for load in loads] == [0x2003234, 0x2005000]
    assert image.size == before + 0x2001000


def test_dumps_come_first_in_their_order_then_notes_then_memory():
    image = Image(core([(0x1000, 7, 4096, 4096)], 100))
    image.update([Sized(4096), Sized(8192)])
    ends = [extent.end for extent in image.extents]
    assert ends == [0x1000, 0x2000, 0x4000, 0x4000 + 100, 0x5000, 0x6000]


def test_notes_that_fill_their_pages_need_no_padding():
    assert Image(core([], 4096)).size == 0x2000
    assert Image(core([], 4097)).size == 0x3000


def test_a_context_without_notes_and_memory_is_a_header_page():
    image = Image(core([]))
    assert image.size == PAGE_SIZE
    assert phdrs(image, 1) == [(4, 0, 0x1000, 0, 0, 0, 0, 0)]


def test_addresses_flags_and_sizes_of_memory_are_unchanged():
    load = vmcore.Load(0x1000, 0xFFFF888000001000, 0x2000, 0x1800, None, flags=5, align=0x1000)
    image = Image(vmcore.ElfCore(ELF64, [], [load]))
    assert phdrs(image, 2)[1] == (1, 5, 0x1000, 0xFFFF888000001000, 0x1000, 0x1800, 0x2000, 0x1000)


def test_the_kernel_shows_a_whole_segment_and_a_file_only_the_stored_part():
    context = core([(0x1000, 7, 0x10000, 0x800), (0x20000, 7, 0x1000, 0), (0x30000, 7, 1, 1)])
    assert Image(context).size == 0x1000 + 0x10000 + 0x1000 + 0x1000
    stored = Image(context, stored=True)
    assert stored.size == 0x1000 + 0x1000 + 0 + 0x1000
    assert [phdr[2] for phdr in phdrs(stored, 4)] == [0x1000, 0x1000, 0x2000, 0x2000]


def test_a_segment_without_memory_takes_its_page_unless_it_is_at_the_start_of_one():
    """rounddown(start) to roundup(end): the kernel's extent of a segment."""
    assert Image(core([(0x1000, 7, 0, 0)])).size == 0x1000
    assert Image(core([(0x1234, 7, 0, 0)])).size == 0x2000


def test_extents_have_no_gaps_and_none_is_empty():
    image = Image(core([(0x1000234, 7, 0x1234, 0x34), (0x5000, 7, 0x3000, 0x3000)], 100))
    image.update([Sized(4096)])
    extents = list(image.extents)
    assert all(extent.size > 0 for extent in extents)
    assert [e.end for e in extents[:-1]] == [e.start for e in extents[1:]]


@pytest.mark.parametrize("start", [0, 0xFFF, 0x1000, 0x1FFF, 0x2000, 0x2234, 0x4000, 0x6FFF])
def test_the_extents_of_a_range_are_those_of_the_file_cut(start):
    loads = [(0x1000234, 7, 0x1234, 0x34), (0x5000, 7, 0, 0), (0x5000, 7, 0x3000, 0x2FFF)]
    extents = Image(core(loads, 100)).extents
    for end in range(start + 1, extents.size + 1, 0x777):
        assert list(extents.within(start, end)) == list(within(list(extents), start, end))


def test_memory_at_an_unknown_physical_address_keeps_its_virtual_offset_in_a_page():
    image = Image(core([((1 << 64) - 1, 0xFFFFC90000000123, 0x1000, 0x1000), (0x1000, 7, 1, 1)]))
    assert [(phdr[2], phdr[4]) for phdr in phdrs(image, 3)[1:]] == [
        (0x1123, (1 << 64) - 1),
        (0x3000, 0x1000),
    ]


def test_more_program_headers_than_a_page_take_two():
    image = Image(core([(n * PAGE_SIZE, 7, PAGE_SIZE, 0) for n in range(80)]))
    assert image.headers_size == 2 * PAGE_SIZE
    assert phdrs(image, 1)[0][2] == 2 * PAGE_SIZE


def test_more_program_headers_than_e_phnum_holds_are_counted_in_section_0():
    loads = [(n * PAGE_SIZE, 7, PAGE_SIZE, 0) for n in range(0xFFFF)]
    header = next(iter(Image(core(loads), stored=True).extents)).source.view
    (shoff,) = struct.unpack_from("<Q", header, 40)
    shentsize, shnum = struct.unpack_from("<HH", header, 58)
    assert struct.unpack_from("<H", header, 56) == (0xFFFF,)
    assert (shentsize, shnum) == (64, 1)
    assert struct.unpack_from("<I", header, shoff + 44) == (0x10000,)


def test_elf32_headers_have_the_same_values():
    image = Image(core([(0x100234, 7, 0x1000, 0x1000)], 100, ELF32))
    image.update([Sized(0x2001000)])
    header = next(iter(image.extents)).source.view
    assert PHDR32.unpack_from(header, 52) == (4, 0x1000, 0, 0, 0x2001064, 0x2001064, 0, 0)
    assert PHDR32.unpack_from(header, 84) == (1, 0x2003234, 7, 0x100234, 0x1000, 0x1000, 7, 0)


def test_elf32_fields_take_the_low_32_bits_as_the_kernels_do():
    image = Image(core([(0x100000, 7, 0x1000, 0x1000)], 0, ELF32))
    image.update([Sized(1 << 32)])
    header = next(iter(image.extents)).source.view
    assert PHDR32.unpack_from(header, 52)[4:6] == (0, 0)
    assert PHDR32.unpack_from(header, 84)[1] == 0x1000
    assert image.size == (1 << 32) + 0x2000


def test_an_elf32_file_above_4_gib_is_refused():
    image = Image(core([], 0, ELF32), stored=True)
    with pytest.raises(VmcoreFormatError, match="ELF32 vmcore: need at most 4294967295 bytes"):
        image.update([Sized(1 << 32)])
