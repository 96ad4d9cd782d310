"""Extents: cutting, finding and reading them."""

from __future__ import annotations

from vmcoredd.vmcore.extents import Extent, within
from vmcoredd.vmcore.memory import MemoryFile


def memory(data: bytes) -> MemoryFile:
    file = MemoryFile("m", len(data))
    file.view[:] = data
    return file


def test_a_cut_moves_start_and_source_together():
    source = memory(b"0123456789")
    part = Extent(100, 10, source, 0).cut(103, 105)
    assert (part.start, part.size, part.offset) == (103, 2, 3)


def test_within_gives_the_parts_of_a_range_in_order():
    extents = [Extent(0, 10), Extent(10, 5), Extent(15, 100)]
    assert [(e.start, e.end) for e in within(extents, 8, 20)] == [(8, 10), (10, 15), (15, 20)]


def test_within_begins_behind_an_extent_that_ends_at_the_start():
    assert [e.start for e in within([Extent(0, 10), Extent(10, 5)], 10, 12)] == [10]


def test_a_range_behind_the_end_has_no_parts():
    assert list(within([Extent(0, 10)], 10, 20)) == []


def test_an_extent_without_a_source_reads_as_zeros():
    out = bytearray(b"x" * 5)
    Extent(0, 5).read_into(memoryview(out))
    assert out == bytes(5)


def test_what_the_source_does_not_have_reads_as_zeros():
    out = bytearray(b"x" * 6)
    Extent(0, 6, memory(b"abcd"), 2).read_into(memoryview(out))
    assert out == b"cd" + bytes(4)
