"""The layout of a vmcore: the offsets and sizes that fs/proc/vmcore.c computes.

    [ELF header and program headers, to a page]
    [device dumps, in the order they were added, each a multiple of a page]
    [the notes of the crash context merged into one run, to a page]
    [memory of each PT_LOAD, from page to page]

The merged PT_NOTE is the first program header, and its p_offset is the size of the header pages. So
the dumps are the first notes, and adding a dump moves everything after the dumps.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from vmcoredd.vmcore.core import ElfCore, Load
from vmcoredd.vmcore.elf import (
    ET_CORE,
    EV_CURRENT,
    PAGE_SIZE,
    PN_XNUM,
    PT_NOTE,
    round_up,
)
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import Extent, MemoryFile, within

_MAX_OFFSET = 1 << 62  # bytes: what a file and the kernel's loff_t can hold, with room for dumps


class Dump(Protocol):
    """A device dump: `size` bytes with a file descriptor."""

    @property
    def size(self) -> int: ...

    def fileno(self) -> int: ...


class Extents:
    """The extents of a vmcore, sorted and without gaps; those of the memory are made when needed.

    `front` is what precedes the memory, which begins at `memory_start`. `starts` are the offsets of
    the segments from there. An `Extents` does not change; `Image.update` makes a new one.
    """

    def __init__(
        self, front: list[Extent], starts: array[int], loads: Sequence[Load], unknown: int
    ) -> None:
        self._front = front
        self._starts = starts
        self._loads = loads
        self._unknown = unknown
        self._memory_start = front[-1].end
        self.size = self._memory_start + starts[-1]

    def __iter__(self) -> Iterator[Extent]:
        yield from self._front
        for index, load in enumerate(self._loads):
            yield from self._chunk(index, load)

    def within(self, start: int, end: int) -> Iterator[Extent]:
        """Yields the parts in [start, end)."""
        yield from within(self._front, start, end)
        first = max(0, bisect_right(self._starts, start - self._memory_start) - 1)
        for index in range(first, len(self._loads)):
            if self._memory_start + self._starts[index] >= end:
                return
            yield from within([*self._chunk(index, self._loads[index])], start, end)

    def _chunk(self, index: int, load: Load) -> Iterator[Extent]:
        """Yields the pages of a segment: its data, with zeros around them."""
        start = self._memory_start + self._starts[index]
        end = self._memory_start + self._starts[index + 1]
        first = start + _lead(load, self._unknown)
        last = min(first + load.filesz, end)
        if start < first:
            yield Extent(start, first - start)
        if first < last:
            yield Extent(first, last - first, load.source, load.offset)
        if last < end:
            yield Extent(last, end - last)


class Image:
    """A vmcore made of a crash context and device dumps, as a list of extents.

    A segment has the length of its memory (p_memsz), as in the kernel; with `stored`, the length of
    the data in the context's file (p_filesz), for a file to be written. Adding a dump rewrites the
    header pages in place, as in the kernel.
    """

    def __init__(self, base: ElfCore, dumps: Sequence[Dump] = (), *, stored: bool = False) -> None:
        self.base = base
        self._stored = stored
        layout = base.layout
        self._unknown = (1 << layout.bits) - 1
        self._count = 1 + len(base.loads)
        self._table = ctypes.sizeof(layout.ehdr)
        table_end = self._table + self._count * ctypes.sizeof(layout.phdr)
        numbered = self._count >= PN_XNUM
        self.headers_size = round_up(table_end + numbered * ctypes.sizeof(layout.shdr), PAGE_SIZE)
        self._headers = MemoryFile("elfcorebuf", self.headers_size)
        self._fill_elf_header(table_end if numbered else 0)
        self._memory_start = 0
        self._starts = self._fill_program_headers()
        self.extents = self._extents(dumps)

    @property
    def size(self) -> int:
        """Bytes of the whole file, a multiple of a page."""
        return self.extents.size

    def update(self, dumps: Sequence[Dump]) -> None:
        """Recomputes the layout for `dumps`, which are all dumps in the order of their addition.

        Values that are too large for an ELF32 header are truncated to 32 bits, as in the kernel; a
        `stored` image of that size raises `VmcoreFormatError`.
        """
        self.extents = self._extents(dumps)

    def _extents(self, dumps: Sequence[Dump]) -> Extents:
        dumps_size = sum(dump.size for dump in dumps)
        note = self._program_header(0)
        note.p_filesz = note.p_memsz = self.base.notes_size + dumps_size
        notes_start = self.headers_size + dumps_size
        memory_start = notes_start + round_up(self.base.notes_size, PAGE_SIZE)
        front = [Extent(0, self.headers_size, self._headers)]
        for dump in dumps:
            front.append(Extent(front[-1].end, dump.size, dump))
        front += self._notes(notes_start, memory_start)
        extents = Extents(front, self._starts, self.base.loads, self._unknown)
        if self._stored and extents.size >= 1 << self.base.layout.bits:
            limit = f"at most {(1 << self.base.layout.bits) - 1} bytes"
            raise VmcoreFormatError("ELF32 vmcore", limit, f"{extents.size} bytes")
        self._move_memory(memory_start)
        return extents

    def _program_header(self, index: int) -> Any:
        kind: Any = self.base.layout.phdr
        return kind.from_buffer(self._headers.view, self._table + index * ctypes.sizeof(kind))

    def _fill_elf_header(self, section: int) -> None:
        base, layout = self.base, self.base.layout
        self._headers.view[:16] = base.ident
        ehdr: Any = layout.ehdr.from_buffer(self._headers.view)
        ehdr.e_type, ehdr.e_machine, ehdr.e_version = ET_CORE, base.machine, EV_CURRENT
        ehdr.e_flags, ehdr.e_phoff, ehdr.e_ehsize = base.flags, self._table, self._table
        ehdr.e_phentsize = ctypes.sizeof(layout.phdr)
        ehdr.e_phnum = min(self._count, PN_XNUM)
        if section:
            ehdr.e_shoff, ehdr.e_shnum = section, 1
            ehdr.e_shentsize = ctypes.sizeof(layout.shdr)
            shdr: Any = layout.shdr.from_buffer(self._headers.view, section)
            shdr.sh_info = self._count

    def _fill_program_headers(self) -> array[int]:
        """Returns the offset of each segment from the start of the memory, and that of the end.

        p_offset is that from the start of the memory until `_move_memory`.
        """
        note = self._program_header(0)
        note.p_type, note.p_offset = PT_NOTE, self.headers_size
        starts = array("Q", [0])
        start = 0
        for index, load in enumerate(self.base.loads, 1):
            phdr = self._program_header(index)
            phdr.p_type, phdr.p_flags, phdr.p_align = load.type, load.flags, load.align
            phdr.p_vaddr, phdr.p_paddr = load.vaddr, load.paddr
            phdr.p_filesz, phdr.p_memsz = load.filesz, load.memsz
            lead = _lead(load, self._unknown)
            phdr.p_offset = start + lead
            start += round_up(lead + (load.filesz if self._stored else load.memsz), PAGE_SIZE)
            if start >= _MAX_OFFSET:
                raise VmcoreFormatError("the vmcore", f"fewer than {_MAX_OFFSET} bytes", "more")
            starts.append(start)
        return starts

    def _move_memory(self, start: int) -> None:
        """Adds to p_offset of all segments what the memory moves to begin at `start`."""
        phdr: Any = self.base.layout.phdr
        order = "<" if self.base.layout.order == "little" else ">"
        field = struct.Struct(order + ("Q" if self.base.layout.bits == 64 else "I"))
        view, by, mask = self._headers.view, start - self._memory_start, self._unknown
        first, step = self._table + phdr.p_offset.offset, ctypes.sizeof(phdr)
        for at in range(first + step, first + self._count * step, step):
            field.pack_into(view, at, field.unpack_from(view, at)[0] + by & mask)
        self._memory_start = start

    def _notes(self, start: int, end: int) -> Iterator[Extent]:
        for note in self.base.notes:
            if note.size:
                yield Extent(start + note.start, note.size, note.source, note.offset)
        used = start + self.base.notes_size
        if used < end:
            yield Extent(used, end - used)


def _lead(load: Load, unknown: int) -> int:
    """Returns the offset in a page at which the data of a segment begin."""
    return (load.vaddr if load.paddr == unknown else load.paddr) % PAGE_SIZE
