"""Recognises makedumpfile's kdump-compressed format, and finds its notes, an uncompressed run.

Block 0 begins with `struct disk_dump_header`, block 1 with `struct kdump_sub_header`, which locates
the notes since header version 4. Then follow two bitmaps of the machine's pages and the pages
themselves (see kdump_pages.py). Source: makedumpfile's IMPLEMENTATION text and diskdump_mod.h.

The structures are those of the program that wrote the file, and nothing in it tells which: `long`
has 32 or 64 bits, so has `struct timeval` on a 32-bit machine, and 64-bit members are aligned to 4
bytes (i386, and QEMU for every machine) or to 8 (arm, ppc). The name of the machine does not help:
QEMU writes `Unknown`, other writers nothing. So every layout is tried, and the one whose numbers
agree best with each other is taken. Only the byte order is certain: versions are small.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from vmcoredd.vmcore.elf import ELF32, ELF32_BE, ELF64, ELF64_BE, ByteOrder, Layout
from vmcoredd.vmcore.elffile import read_exactly
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.notes import NoteSegment, NoteWalk
from vmcoredd.vmcore.view import File, read_some

SIGNATURE = b"KDUMP   "
FIRST_VERSION_WITH_NOTES = 4
FIRST_VERSION_WITH_64_BIT_PFNS = 6
MAX_VERSION = 0xFF  # 6 is the newest; in the other byte order it would be huge
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 512, 1 << 20
INCOMPLETE = 0x8  # DUMP_DH_COMPRESSED_INCOMPLETE, in `status`: the disk was full
NOTES_TRIED = 8  # enough to tell notes from other bytes
NAME = "kdump header"
SUB_NAME = "kdump sub-header"


class Header(NamedTuple):
    """`struct disk_dump_header` from `status` to `max_mapnr`; sizes of parts are in blocks."""

    status: int
    block_size: int
    sub_hdr_size: int
    bitmap_blocks: int
    max_mapnr: int


class SubHeader(NamedTuple):
    """`struct kdump_sub_header`; the members from `offset_eraseinfo` on only in version 6."""

    phys_base: int
    dump_level: int
    split: int
    start_pfn: int
    end_pfn: int
    offset_vmcoreinfo: int
    size_vmcoreinfo: int
    offset_note: int
    size_note: int
    offset_eraseinfo: int = 0
    size_eraseinfo: int = 0
    start_pfn_64: int = 0
    end_pfn_64: int = 0
    max_mapnr_64: int = 0


@dataclass(frozen=True)
class Shape:
    """One layout: the width of `long`, the offset of `status`, and the sub-header for `struct`."""

    bits: Literal[32, 64]
    status: int
    old: str  # up to size_note
    new: str  # what version 6 appends


_HEADER = "IiiII"
_LONG64 = ("QiiQQqQqQ", "qQQQQ")
_PACKED = ("IiiIIqIqI", "qIQQQ")
_ALIGNED = ("IiiII4xqI4xqI", "4xqI4xQQQ")
_TIMEVAL32, _TIMEVAL64_PACKED, _TIMEVAL64 = 412, 420, 424  # where `status` is, behind the timeval

# The first of those that agree equally well is taken.
_SHAPES = [
    Shape(64, _TIMEVAL64, *_LONG64),
    Shape(32, _TIMEVAL32, *_ALIGNED),
    Shape(32, _TIMEVAL32, *_PACKED),
    Shape(32, _TIMEVAL64, *_ALIGNED),
    Shape(32, _TIMEVAL64_PACKED, *_PACKED),
    Shape(32, _TIMEVAL64, *_PACKED),
    Shape(32, _TIMEVAL64_PACKED, *_ALIGNED),
]
_SIGNS: dict[ByteOrder, str] = {"little": "<", "big": ">"}
_LAYOUTS: dict[tuple[int, ByteOrder], Layout] = {
    (64, "little"): ELF64,
    (64, "big"): ELF64_BE,
    (32, "little"): ELF32,
    (32, "big"): ELF32_BE,
}


@dataclass(frozen=True)
class Kdump:
    """A recognised file. Offsets and sizes are in bytes."""

    version: int
    layout: Layout
    header: Header
    sub: SubHeader
    sub_size: int

    @property
    def order(self) -> str:
        """The byte order, as `struct` writes it."""
        return _SIGNS[self.layout.order]

    @property
    def notes(self) -> NoteSegment:
        """The run of notes."""
        return NoteSegment(self.sub.offset_note, self.sub.size_note)

    @property
    def bitmaps(self) -> tuple[int, int]:
        """Offset and size of the bitmaps, in bytes."""
        block = self.header.block_size
        return (1 + self.header.sub_hdr_size) * block, self.header.bitmap_blocks * block

    @property
    def max_pfn(self) -> int:
        """The number of pages that a bitmap has bits for."""
        return self.sub.max_mapnr_64 or self.header.max_mapnr

    @property
    def incomplete(self) -> bool:
        """Whether makedumpfile marked the file as incomplete."""
        return bool(self.header.status & INCOMPLETE)


def recognise(fd: File, file_size: int) -> Kdump:
    """Returns the headers of the kdump file `fd`, in the layout that makes most sense of them.

    Raises `VmcoreFormatError` if a header is truncated, if no layout is possible, or if the version
    is too old to have notes.
    """
    head = read_exactly(fd, 0, _TIMEVAL64 + struct.calcsize("<" + _HEADER), NAME)
    order, version = _version(head)
    shapes = [(shape, header) for shape in _SHAPES if (header := _header(head, order, shape))]
    if not shapes:
        need = f"a block size that is a power of two, {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}"
        raise VmcoreFormatError(NAME, need, "none in any layout")
    if version < FIRST_VERSION_WITH_NOTES:
        need = f"version {FIRST_VERSION_WITH_NOTES} for a file with notes"
        raise VmcoreFormatError(NAME, need, f"version {version}")
    found = [kdump for one in shapes if (kdump := _sub_header(fd, version, order, *one))]
    if not found:
        shape, header = shapes[0]
        size = struct.calcsize("<" + shape.old)
        raise VmcoreFormatError(SUB_NAME, size, len(read_some(fd, header.block_size, size)))
    best = max(found, key=lambda kdump: _agreement(fd, file_size, kdump))
    if best.sub.offset_note < 0:
        raise VmcoreFormatError(SUB_NAME, "an offset of the notes", str(best.sub.offset_note))
    return best


def _version(head: bytes) -> tuple[ByteOrder, int]:
    for order, sign in _SIGNS.items():
        (version,) = struct.unpack_from(sign + "i", head, len(SIGNATURE))
        if 0 < version <= MAX_VERSION:
            return order, version
    raise VmcoreFormatError(NAME, f"a version from 1 to {MAX_VERSION}", "none in any byte order")


def _header(head: bytes, order: ByteOrder, shape: Shape) -> Header | None:
    """Returns the header in this layout, or None if its block size is none."""
    header = Header(*struct.unpack_from(_SIGNS[order] + _HEADER, head, shape.status))
    size = header.block_size
    if not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE or size & (size - 1) or header.sub_hdr_size < 0:
        return None
    return header


def _sub_header(
    fd: File, version: int, order: ByteOrder, shape: Shape, header: Header
) -> Kdump | None:
    """Returns the file in this layout, or None if it ends within its sub-header."""
    new = shape.new if version >= FIRST_VERSION_WITH_64_BIT_PFNS else ""
    members = struct.Struct(_SIGNS[order] + shape.old + new)
    data = read_some(fd, header.block_size, members.size)
    if len(data) < struct.calcsize("<" + shape.old):
        return None
    sub = SubHeader(*members.unpack(data.ljust(members.size, b"\0")))
    return Kdump(version, _LAYOUTS[shape.bits, order], header, sub, members.size)


def _agreement(fd: File, file_size: int, kdump: Kdump) -> int:
    """Returns how many facts hold that hold in an undamaged file of this layout."""
    return sum(_facts(fd, file_size, kdump))


def _facts(fd: File, file_size: int, kdump: Kdump) -> Iterator[bool]:
    header, sub = kdump.header, kdump.sub
    first, end = header.block_size + kdump.sub_size, kdump.bitmaps[0]
    yield first <= sub.offset_note
    yield sub.offset_note + sub.size_note <= end
    yield _is_within(sub.offset_vmcoreinfo, sub.size_vmcoreinfo, first, end)
    yield _is_within(sub.offset_eraseinfo, sub.size_eraseinfo, first, end)
    one_bitmap = -(-kdump.max_pfn // (8 * header.block_size))
    yield one_bitmap <= header.bitmap_blocks <= 2 * one_bitmap
    yield sub.max_mapnr_64 in (0, header.max_mapnr) or header.max_mapnr == 0xFFFFFFFF
    if _has_notes(fd, file_size, kdump):
        yield from (True, True)  # the strongest sign


def _is_within(offset: int, size: int, first: int, end: int) -> bool:
    """Returns whether a part that may be absent is in [first, end)."""
    return offset == size == 0 or first <= offset <= offset + size <= end


def _has_notes(fd: File, file_size: int, kdump: Kdump) -> bool:
    """Returns whether the first notes are valid."""
    if kdump.sub.offset_note <= 0:
        return False
    walk = NoteWalk(fd, file_size, kdump.notes, kdump.layout, max_padding=0)
    return bool(list(islice(walk, NOTES_TRIED))) and not walk.damage
