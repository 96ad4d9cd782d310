"""Extents and the memory behind them: cutting, finding, reading and mapping."""

from __future__ import annotations

import os

import pytest
from vmcore_files import PAGE, closing_all

from vmcoredd.vmcore.extents import Extent, MemoryFile, map_extents, within


def filled(data: bytes) -> MemoryFile:
    file = MemoryFile("m", len(data))
    file.view[:] = data
    return file


def test_a_cut_moves_start_and_source_together():
    source = filled(b"0123456789")
    part = Extent(100, 10, source, 0).cut(103, 105)
    assert (part.start, part.size, part.offset) == (103, 2, 3)


def test_within_gives_the_parts_of_a_range_in_order():
    extents = [Extent(0, 10), Extent(10, 5), Extent(15, 100)]
    assert [(e.start, e.end) for e in within(extents, 8, 20)] == [(8, 10), (10, 15), (15, 20)]


def test_within_begins_after_an_extent_that_ends_at_the_start():
    assert [e.start for e in within([Extent(0, 10), Extent(10, 5)], 10, 12)] == [10]


def test_a_range_past_the_end_has_no_parts():
    assert list(within([Extent(0, 10)], 10, 20)) == []


def test_an_extent_without_a_source_reads_as_zeros():
    out = bytearray(b"x" * 5)
    Extent(0, 5).read_into(memoryview(out))
    assert out == bytes(5)


def test_bytes_past_the_end_of_the_source_read_as_zeros():
    out = bytearray(b"x" * 6)
    Extent(0, 6, filled(b"abcd"), 2).read_into(memoryview(out))
    assert out == b"cd" + bytes(4)


def test_a_memory_file_is_zero_and_its_descriptor_reads_the_view():
    memory = MemoryFile("m", 10000)
    assert not any(memory.view)
    memory.view[9999] = 7
    assert os.pread(memory.fileno(), 2, 9998) == b"\0\7"


def test_closing_a_memory_file_twice_is_harmless():
    memory = MemoryFile("m", 1)
    memory.close()
    memory.close()


def test_a_slice_of_a_memory_files_view_outlives_it():
    memory = MemoryFile("m", 10)
    part = memory.view[2:4]
    memory.close()
    part[0] = 5
    assert bytes(part) == b"\5\0"


def test_a_memory_files_view_outlives_the_object():
    view = MemoryFile("m", 10).view
    view[0] = 1
    assert view[0] == 1


def test_an_impossible_memory_size_is_refused_and_leaves_no_descriptor():
    with closing_all(), pytest.raises((OSError, OverflowError)):
        MemoryFile("m", 1 << 62)


@pytest.fixture
def source():
    memory = MemoryFile("source", 4 * PAGE)
    for page in range(4):
        memory.view[page * PAGE : (page + 1) * PAGE] = bytes([page + 1]) * PAGE
    return memory


def test_mapped_whole_pages_follow_changes_of_their_source(source):
    view = map_extents([Extent(PAGE, 2 * PAGE, source, PAGE)], PAGE, 2 * PAGE)
    source.view[PAGE] = 0xEE
    assert (view[0], view[1], view[PAGE]) == (0xEE, 2, 3)


def test_a_partly_filled_page_is_copied_with_zeros_around_the_data(source):
    extents = [Extent(100, 50, source, 7), Extent(PAGE + 10, PAGE, source, 2 * PAGE + 10)]
    view = map_extents(extents, 0, 3 * PAGE)
    assert view[:200] == bytes(100) + b"\1" * 50 + bytes(50)
    assert view[PAGE : PAGE + 20] == bytes(10) + b"\3" * 10
    assert view[2 * PAGE :] == (b"\4" * 10).ljust(PAGE, b"\0")


def test_an_extent_without_a_source_maps_as_zeros():
    assert map_extents([Extent(0, PAGE)], 0, PAGE) == bytes(PAGE)


def test_data_at_another_offset_within_a_page_cannot_be_mapped(source):
    with pytest.raises(OSError, match="Invalid argument"):
        map_extents([Extent(0, PAGE, source, 8)], 0, PAGE)


def test_a_source_that_cannot_be_mapped_raises_the_systems_error():
    class Directory:
        def fileno(self):
            return os.open("/", os.O_RDONLY)

    with pytest.raises(OSError, match="No such device"):
        map_extents([Extent(0, PAGE, Directory())], 0, PAGE)
