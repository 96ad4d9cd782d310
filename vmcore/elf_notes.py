"""Finds the notes of an ELF core file: its PT_NOTE segments or, without any, its note sections.

Xen's `xl dump-core` writes no program headers: notes and memory are in sections. Source: Xen's
dump-core-format.txt; for the flag of an incomplete file, makedumpfile (`DUMP_ELF_INCOMPLETE`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vmcoredd.vmcore.elf import PT_LOAD, PT_NOTE, SHT_NOBITS, SHT_NOTE, SHT_NULL
from vmcoredd.vmcore.elffile import ElfHeaders
from vmcoredd.vmcore.errors import Cut, VmcoreFormatError
from vmcoredd.vmcore.notes import NoteSegment

MAX_NOTE_SEGMENTS = 1 << 14  # kexec-tools makes one per processor; the kernel merges them
INCOMPLETE = 0x1  # in e_flags: makedumpfile had no space left
_NO_FLAGS = {3, 20, 22, 62, 183}  # i386, ppc, s390, x86_64, aarch64: elsewhere the bit is the ABI's


class NoteSegments:
    """The `segments` with notes of a core file of `file_size` bytes; `damage` lists problems."""

    def __init__(self, headers: ElfHeaders, file_size: int) -> None:
        self.segments: list[NoteSegment] = []
        self.damage: list[VmcoreFormatError] = []
        self._end = 0
        if headers.ehdr.e_machine in _NO_FLAGS and headers.ehdr.e_flags & INCOMPLETE:
            have = "one that makedumpfile marked as incomplete (it had no space left)"
            self._report("ELF header", "a complete dump", have)
        self._read(headers, self._add_program_header)
        if not self.segments:
            self._read(headers.sections(), self._add_section)
        if self._end > file_size:
            self.damage.append(Cut("file with its segments", self._end, file_size))
        if not (self.segments or headers.count or self.damage):
            self._report("ELF core file", "program headers, or sections with notes", "neither")

    def _report(self, what: str, need: int | str, have: int | str) -> None:
        self.damage.append(VmcoreFormatError(what, need, have))

    def _read(self, table: Iterable[Any], add: Callable[[Any], None]) -> None:
        """Adds the entries of a table as far as it can be read."""
        try:
            for entry in table:
                add(entry)
        except VmcoreFormatError as error:
            self.damage.append(error)

    def _add_program_header(self, phdr: Any) -> None:
        kind = phdr.p_type
        if kind == PT_NOTE:
            self._add(phdr.p_offset, phdr.p_filesz, phdr.p_align)
        if kind in (PT_LOAD, PT_NOTE) and phdr.p_filesz:
            self._end = max(self._end, phdr.p_offset + phdr.p_filesz)

    def _add_section(self, shdr: Any) -> None:
        if shdr.sh_type == SHT_NOTE:
            self._add(shdr.sh_offset, shdr.sh_size, shdr.sh_addralign)
        if shdr.sh_type not in (SHT_NULL, SHT_NOBITS) and shdr.sh_size:
            self._end = max(self._end, shdr.sh_offset + shdr.sh_size)

    def _add(self, offset: int, size: int, align: int) -> None:
        if len(self.segments) == MAX_NOTE_SEGMENTS:
            have = "more, which are not read"
            raise VmcoreFormatError("note segments", f"at most {MAX_NOTE_SEGMENTS}", have)
        self.segments.append(NoteSegment.aligned(offset, size, align))
