"""One mapping over several sources."""

from __future__ import annotations

import os

import pytest
from vmcore_files import PAGE

from vmcoredd.vmcore.extents import Extent
from vmcoredd.vmcore.mapping import map_extents
from vmcoredd.vmcore.memory import MemoryFile


@pytest.fixture
def source():
    memory = MemoryFile("source", 4 * PAGE)
    for page in range(4):
        memory.view[page * PAGE : (page + 1) * PAGE] = bytes([page + 1]) * PAGE
    return memory


def test_whole_pages_show_the_source_and_what_happens_to_it(source):
    view = map_extents([Extent(PAGE, 2 * PAGE, source, PAGE)], PAGE, 2 * PAGE)
    source.view[PAGE] = 0xEE
    assert (view[0], view[1], view[PAGE]) == (0xEE, 2, 3)


def test_a_page_filled_in_part_is_copied_with_zeros_around(source):
    extents = [Extent(100, 50, source, 7), Extent(PAGE + 10, PAGE, source, 2 * PAGE + 10)]
    view = map_extents(extents, 0, 3 * PAGE)
    assert view[:200] == bytes(100) + b"\1" * 50 + bytes(50)
    assert view[PAGE : PAGE + 20] == bytes(10) + b"\3" * 10
    assert view[2 * PAGE :] == (b"\4" * 10).ljust(PAGE, b"\0")


def test_an_extent_without_source_is_zeros():
    assert map_extents([Extent(0, PAGE)], 0, PAGE) == bytes(PAGE)


def test_bytes_at_another_place_in_their_page_cannot_be_mapped(source):
    with pytest.raises(OSError, match="Invalid argument"):
        map_extents([Extent(0, PAGE, source, 8)], 0, PAGE)


def test_a_source_that_cannot_be_mapped_is_the_systems_error():
    class Directory:
        def fileno(self):
            return os.open("/", os.O_RDONLY)

    with pytest.raises(OSError, match="No such device"):
        map_extents([Extent(0, PAGE, Directory())], 0, PAGE)
