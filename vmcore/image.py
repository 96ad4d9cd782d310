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
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from vmcoredd.vmcore.core import ElfCore, Load
from vmcoredd.vmcore.elf import (
    ET_CORE,
    EV_CURRENT,
    PAGE_SIZE,
    PN_XNUM,
    PT_LOAD,
    PT_NOTE,
    round_up,
)
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import Extent, MemoryFile


class Dump(Protocol):
    """A device dump: `size` bytes with a file descriptor."""

    @property
    def size(self) -> int: ...

    def fileno(self) -> int: ...


class Image:
    """A vmcore made of a crash context and device dumps, as a list of extents.

    A segment has the length of its memory (p_memsz), as in the kernel; with `stored`, the length of
    the data in the context's file (p_filesz), for a file to be written. Adding a dump rewrites the
    header pages in place, as in the kernel.
    """

    def __init__(self, base: ElfCore, *, stored: bool = False) -> None:
        self.base = base
        self._stored = stored
        layout = base.layout
        self._count = 1 + len(base.loads)
        self._table = ctypes.sizeof(layout.ehdr)
        table_end = self._table + self._count * ctypes.sizeof(layout.phdr)
        numbered = self._count >= PN_XNUM
        self.headers_size = round_up(table_end + numbered * ctypes.sizeof(layout.shdr), PAGE_SIZE)
        self._headers = MemoryFile("elfcorebuf", self.headers_size)
        self._phdrs: Any = (layout.phdr * self._count).from_buffer(self._headers.view, self._table)
        self._fill_elf_header(table_end if numbered else 0)
        self._fill_program_headers()
        self.extents: Sequence[Extent] = []
        self.update([])

    @property
    def size(self) -> int:
        """Bytes of the whole file, a multiple of a page."""
        return self.extents[-1].end

    def update(self, dumps: Sequence[Dump]) -> None:
        """Recomputes the layout for `dumps`, which are all dumps in the order of their addition.

        Values that are too large for an ELF32 header are truncated to 32 bits, as in the kernel; a
        `stored` image of that size raises `VmcoreFormatError`.
        """
        dumps_size = sum(dump.size for dump in dumps)
        note = self._phdrs[0]
        note.p_filesz = note.p_memsz = self.base.notes_size + dumps_size
        notes_start = self.headers_size + dumps_size
        memory_start = notes_start + round_up(self.base.notes_size, PAGE_SIZE)
        extents = [Extent(0, self.headers_size, self._headers)]
        for dump in dumps:
            extents.append(Extent(extents[-1].end, dump.size, dump))
        extents += self._notes(notes_start, memory_start)
        extents += self._memory(memory_start)
        if self._stored and extents[-1].end >= 1 << self.base.layout.bits:
            limit = f"at most {(1 << self.base.layout.bits) - 1} bytes"
            raise VmcoreFormatError("ELF32 vmcore", limit, f"{extents[-1].end} bytes")
        self.extents = extents

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

    def _fill_program_headers(self) -> None:
        note = self._phdrs[0]
        note.p_type, note.p_offset = PT_NOTE, self.headers_size
        for phdr, load in zip(self._phdrs[1:], self.base.loads, strict=True):
            phdr.p_type, phdr.p_flags, phdr.p_align = PT_LOAD, load.flags, load.align
            phdr.p_vaddr, phdr.p_paddr = load.vaddr, load.paddr
            phdr.p_filesz, phdr.p_memsz = load.filesz, load.memsz

    def _notes(self, start: int, end: int) -> Iterator[Extent]:
        for note in self.base.notes:
            if note.size:
                yield Extent(start + note.start, note.size, note.source, note.offset)
        used = start + self.base.notes_size
        if used < end:
            yield Extent(used, end - used)

    def _memory(self, start: int) -> Iterator[Extent]:
        for phdr, load in zip(self._phdrs[1:], self.base.loads, strict=True):
            lead = load.paddr % PAGE_SIZE
            phdr.p_offset = start + lead
            present = load.filesz if self._stored else load.memsz
            end = start + round_up(lead + present, PAGE_SIZE)
            yield from _chunk(load, start, end)
            start = end


def _chunk(load: Load, start: int, end: int) -> Iterator[Extent]:
    """Yields the pages [start, end) of a PT_LOAD: its data, with zeros around them."""
    first = start + load.paddr % PAGE_SIZE
    last = min(first + load.filesz, end)
    before, after = Extent(start, first - start), Extent(last, end - last)
    data = Extent(first, last - first, load.source, load.offset)
    yield from (extent for extent in (before, data, after) if extent.size)
