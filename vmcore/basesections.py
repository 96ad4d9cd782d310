"""The sections of a base. A vmcore has none, so whatever only sections have would be lost."""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from vmcoredd.plural import counted
from vmcoredd.vmcore.elf import SHT_NOBITS, SHT_NULL
from vmcoredd.vmcore.elffile import ElfHeaders
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.view import read_some

_MAX_NAME = 64


def check_sections(fd: int, headers: ElfHeaders, segments: Iterable[tuple[int, int]]) -> None:
    """Raises `VmcoreFormatError`, with the section's name, for data outside the `segments`.

    `segments` are (offset, size) in the file. The names of the sections are not data.
    """
    sections = [*_with_data(headers)]
    if not sections:
        return
    starts, ends = _union(segments)
    for number, section in sections:
        start, end = int(section.sh_offset), int(section.sh_offset + section.sh_size)
        place = bisect_right(starts, start) - 1
        if place < 0 or end > ends[place]:
            name = _name(fd, headers, section)
            size = counted(section.sh_size, "byte")
            have = f"{size} in section {number}{name} alone, which would be lost"
            raise VmcoreFormatError("the base", "all data in segments", have)


def _with_data(headers: ElfHeaders) -> Iterator[tuple[int, Any]]:
    """Yields number and header of each section with data, except that of the sections' names."""
    for number, section in enumerate(headers.sections()):
        has_data = section.sh_size and section.sh_type not in (SHT_NULL, SHT_NOBITS)
        if has_data and number != headers.ehdr.e_shstrndx:
            yield number, section


def _union(segments: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Returns the sorted starts and ends of the ranges that the segments cover together."""
    starts: list[int] = []
    ends: list[int] = []
    for packed in sorted(offset << 64 | offset + size for offset, size in segments):
        start, end = packed >> 64, packed & (1 << 64) - 1
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends


def _name(fd: int, headers: ElfHeaders, section: Any) -> str:
    """Returns the section's name in parentheses; nothing if it has none that can be read."""
    ehdr, kind = headers.ehdr, headers.layout.shdr
    place = int(ehdr.e_shoff) + ehdr.e_shstrndx * ctypes.sizeof(kind)
    table = read_some(fd, place, ctypes.sizeof(kind))
    if not ehdr.e_shstrndx or len(table) < ctypes.sizeof(kind):
        return ""
    names: Any = kind.from_buffer_copy(table)
    raw = read_some(fd, int(names.sh_offset) + section.sh_name, _MAX_NAME).split(b"\0", 1)[0]
    return f" ({raw.decode('utf-8', 'backslashreplace')})" if raw else ""
