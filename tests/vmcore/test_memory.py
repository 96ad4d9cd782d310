"""Memory with a descriptor."""

from __future__ import annotations

import os

import pytest

from vmcoredd.vmcore.memory import MemoryFile


def test_it_is_zero_and_its_descriptor_reads_what_the_view_holds():
    memory = MemoryFile("m", 10000)
    assert not any(memory.view)
    memory.view[9999] = 7
    assert os.pread(memory.fileno(), 2, 9998) == b"\0\7"


def test_closing_it_twice_is_harmless():
    memory = MemoryFile("m", 1)
    memory.close()
    memory.close()


def test_a_slice_of_its_view_outlives_it():
    memory = MemoryFile("m", 10)
    part = memory.view[2:4]
    memory.close()
    part[0] = 5
    assert bytes(part) == b"\5\0"


def test_its_view_outlives_the_object():
    view = MemoryFile("m", 10).view
    view[0] = 1
    assert view[0] == 1


def test_a_size_no_machine_has_is_refused_and_leaves_no_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((OSError, OverflowError)):
        MemoryFile("m", 1 << 62)
    assert len(os.listdir("/proc/self/fd")) == before
