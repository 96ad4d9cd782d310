"""Reads the headers of an ELF core file without trusting them.

No allocation depends on a size from the file: tables are read in slices. A table may be anywhere
(QEMU puts the program headers after a section header) and longer than its count in the ELF header
can express (the count is then in section 0: sh_info for program headers, sh_size for sections).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

from vmcoredd.vmcore.elf import ET_CORE, MAGIC, PN_XNUM, Layout, Structure, layout_of
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.view import File, read_some

SLICE = 1024  # headers read at once
MAX_HEADERS = 1 << 20  # of each table; the kernel has a 16-bit count
SECTION_0 = "ELF section header 0"


def read_exactly(fd: File, offset: int, size: int, what: str) -> bytes:
    """Returns `size` bytes at `offset`; `VmcoreFormatError` if the file is too short."""
    data = read_some(fd, offset, size)
    if len(data) < size:
        raise VmcoreFormatError(what, size, len(data))
    return data


def read_structure(fd: File, offset: int, kind: type[Structure], what: str) -> Any:
    """Returns a structure at `offset`; `VmcoreFormatError` if the file is too short."""
    return kind.from_buffer_copy(read_exactly(fd, offset, ctypes.sizeof(kind), what))


class ElfHeaders:
    """The ELF header of the core file `fd`; iterating reads its program headers.

    Raises `VmcoreFormatError` if it is not an ELF core file or its header is truncated or invalid.
    """

    def __init__(self, fd: File) -> None:
        self._fd = fd
        ident = read_exactly(fd, 0, 16, "ELF header")
        if not ident.startswith(MAGIC):
            raise VmcoreFormatError("ELF header", f"magic {MAGIC!r}", repr(ident[:4]))
        self.layout: Layout = layout_of(ident)
        self.ehdr = read_structure(fd, 0, self.layout.ehdr, "ELF header")
        self._check()
        self.count = self._program_headers()

    def _check(self) -> None:
        if self.ehdr.e_type != ET_CORE:
            have = f"type {self.ehdr.e_type}"
            raise VmcoreFormatError("ELF header", f"type {ET_CORE} (core file)", have)
        size = ctypes.sizeof(self.layout.phdr)
        if self.ehdr.e_phentsize != size and self.ehdr.e_phnum:
            raise VmcoreFormatError("ELF program header entry", size, self.ehdr.e_phentsize)

    def _program_headers(self) -> int:
        if self.ehdr.e_phnum != PN_XNUM:
            return int(self.ehdr.e_phnum)
        if not self.ehdr.e_shoff:
            raise VmcoreFormatError(
                "ELF header", "section 0, which counts the program headers", "none"
            )
        count = int(self._section_0().sh_info)
        if not count:
            raise VmcoreFormatError(SECTION_0, "the number of program headers", "0")
        return count

    def _section_0(self) -> Any:
        return read_structure(self._fd, self.ehdr.e_shoff, self.layout.shdr, SECTION_0)

    def __iter__(self) -> Iterator[Any]:
        """Yields every program header in order; `VmcoreFormatError` if the table is cut short."""
        return self._table("program headers", self.ehdr.e_phoff, self.count, self.layout.phdr)

    def sections(self) -> Iterator[Any]:
        """Yields every section header in order; `VmcoreFormatError` as for program headers."""
        if not self.ehdr.e_shoff:
            return
        size = ctypes.sizeof(self.layout.shdr)
        if self.ehdr.e_shentsize != size:
            raise VmcoreFormatError("ELF section header entry", size, self.ehdr.e_shentsize)
        count = int(self.ehdr.e_shnum or self._section_0().sh_size)
        yield from self._table("section headers", self.ehdr.e_shoff, count, self.layout.shdr)

    def _table(self, name: str, start: int, count: int, kind: type[Structure]) -> Iterator[Any]:
        size = ctypes.sizeof(kind)
        total = min(count, MAX_HEADERS)
        for first in range(0, total, SLICE):
            need = min(SLICE, total - first) * size
            data = read_some(self._fd, start + first * size, need)
            for index in range(len(data) // size):
                yield kind.from_buffer_copy(data, index * size)
            if len(data) < need:
                raise VmcoreFormatError(f"ELF {name}", count * size, first * size + len(data))
        if total < count:
            raise VmcoreFormatError(f"ELF {name}", f"at most {total}", f"{count}")
