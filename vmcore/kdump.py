"""Finds the notes, an uncompressed run, in makedumpfile's kdump-compressed format.

The file starts with `struct disk_dump_header`. One block later comes `struct kdump_sub_header`,
which locates the notes since header version 4 (offset_note, size_note). Source: makedumpfile's
IMPLEMENTATION text and diskdump_mod.h. Byte order, and the sizes of `struct timeval` and `unsigned
long`, are those of the dumped machine. They are recognised by the header version, which is small,
and the block size, which is a power of two and at least 512.
"""

from __future__ import annotations

from ctypes import LittleEndianStructure, c_char, c_int32, c_int64, c_uint32, c_uint64
from dataclasses import dataclass
from typing import Any

from vmcoredd.vmcore.elf import (
    ELF32,
    ELF32_BE,
    ELF64,
    ELF64_BE,
    Fields,
    Layout,
    Structure,
    in_both_orders,
)
from vmcoredd.vmcore.elffile import read_structure
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.notes import NoteSegment

SIGNATURE = b"KDUMP   "
FIRST_VERSION_WITH_NOTES = 4
MAX_VERSION = 0xFF  # 6 is the newest; in the other byte order it would be huge
MAX_BLOCK_SIZE = 1 << 20
HEADER = "kdump header"


def _header(word: Any) -> Fields:
    """`struct disk_dump_header`, up to sub_hdr_size."""
    return [
        ("signature", c_char * 8),
        ("header_version", c_int32),
        ("utsname", c_char * (4 * 65)),
        ("machine", c_char * 65),
        ("domainname", c_char * 65),
        ("tv_sec", word),
        ("tv_usec", word),
        ("status", c_uint32),
        ("block_size", c_int32),
        ("sub_hdr_size", c_int32),
    ]


def _sub_header(word: Any) -> Fields:
    """`struct kdump_sub_header`, up to size_note."""
    return [
        ("phys_base", word),
        ("dump_level", c_int32),
        ("split", c_int32),
        ("start_pfn", word),
        ("end_pfn", word),
        ("offset_vmcoreinfo", c_int64),
        ("size_vmcoreinfo", word),
        ("offset_note", c_int64),
        ("size_note", word),
    ]


HEADER64 = in_both_orders("Header64", _header(c_uint64))
HEADER32 = in_both_orders("Header32", _header(c_uint32))
SUB_HEADER64 = in_both_orders("SubHeader64", _sub_header(c_uint64))
SUB_HEADER32 = in_both_orders("SubHeader32", _sub_header(c_uint32))  # arm, ppc: off_t on 8 bytes


class SubHeader386(LittleEndianStructure):
    """`struct kdump_sub_header` on i386, where off_t is aligned to 4 bytes."""

    _pack_ = 4
    _fields_ = _sub_header(c_uint32)


@dataclass(frozen=True)
class _Kind:
    layout: Layout
    header: type[Structure]
    sub_header: type[Structure]


_KINDS = [
    _Kind(ELF64, HEADER64["little"], SUB_HEADER64["little"]),
    _Kind(ELF64_BE, HEADER64["big"], SUB_HEADER64["big"]),
    _Kind(ELF32, HEADER32["little"], SUB_HEADER32["little"]),
    _Kind(ELF32_BE, HEADER32["big"], SUB_HEADER32["big"]),
]


def note_segment(fd: int) -> tuple[NoteSegment, Layout]:
    """Returns the location of the notes in the kdump file `fd`, and the layout of their headers.

    Raises `VmcoreFormatError` if the header is truncated or invalid, or if its version is too old
    to have notes.
    """
    kind, header = _recognise(fd)
    if header.header_version < FIRST_VERSION_WITH_NOTES:
        need = f"version {FIRST_VERSION_WITH_NOTES} for a file with notes"
        raise VmcoreFormatError(HEADER, need, f"version {header.header_version}")
    structure = kind.sub_header
    if kind.layout is ELF32 and header.machine.startswith(b"i"):
        structure = SubHeader386
    sub = read_structure(fd, header.block_size, structure, "kdump sub-header")
    if sub.offset_note < 0:
        raise VmcoreFormatError("kdump sub-header", "an offset of the notes", str(sub.offset_note))
    return NoteSegment(int(sub.offset_note), int(sub.size_note)), kind.layout


def _recognise(fd: int) -> tuple[_Kind, Any]:
    for kind in _KINDS:
        header = read_structure(fd, 0, kind.header, HEADER)
        size = header.block_size
        is_block = 512 <= size <= MAX_BLOCK_SIZE and size & (size - 1) == 0
        if is_block and 0 < header.header_version <= MAX_VERSION:
            return kind, header
    raise VmcoreFormatError(HEADER, "a block size that is a power of two", "none in any byte order")
