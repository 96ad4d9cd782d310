"""Finds out whether a kdump file ends early: behind its notes it has bitmaps, then the pages.

The last bitmap has a bit for each page that is in the file. Behind it is a descriptor for each of
these bits, in the same order, then the data. Neither the pages nor most of the descriptors are
read. Source: makedumpfile's IMPLEMENTATION text, diskdump_mod.h (`struct page_desc`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.kdump import FIRST_VERSION_WITH_64_BIT_PFNS, Kdump
from vmcoredd.vmcore.view import File, read_some

DESCRIPTOR = struct.Struct("QIIQ")  # offset, size, flags, page_flags; its size in every layout
SOME_DESCRIPTORS = 1024  # read at once
MAX_DESCRIPTORS = 4 << 20  # the most that are passed over: 16 GiB of zeros in pages of 4 KiB
MAX_BITMAP = 256 << 20  # bytes: 8 TiB in pages of 4 KiB; a bit of a larger one is not looked at
SLICE = 1 << 20


def damage_of(fd: File, file_size: int, kdump: Kdump) -> Iterator[VmcoreFormatError]:
    """Yields what makedumpfile says is missing from the file, and what its end has cut off."""
    if kdump.incomplete:
        have = "one that makedumpfile marked as incomplete (it had no space left)"
        yield VmcoreFormatError("kdump header", "a complete dump", have)
    try:
        for what, end in _ends(fd, kdump):
            if end > file_size:
                yield VmcoreFormatError(f"file with its {what}", end, file_size)
                return
    except VmcoreFormatError as error:
        yield error


def _ends(fd: File, kdump: Kdump) -> Iterator[tuple[str, int]]:
    """Yields the notes and the parts behind them, and the offset of the end of each."""
    yield "notes", kdump.sub.offset_note + kdump.sub.size_note
    bitmap, pages = _bitmap_of_pages(kdump)
    yield "bitmaps", bitmap.stop  # the rest of the last block may be missing if no page follows
    if bitmap.stop - bitmap.start > MAX_BITMAP:
        return
    table, count = sum(kdump.bitmaps), _bits(fd, bitmap, pages)
    if count:
        yield "page descriptors", table + count * DESCRIPTOR.size
        yield "pages", _end_of_pages(fd, kdump, table, count)


def _bitmap_of_pages(kdump: Kdump) -> tuple[range, range]:
    """Returns the bytes of the bitmap of pages in the file, and the pages that this file has."""
    start, size = kdump.bitmaps
    need = -(-kdump.max_pfn // (8 * kdump.header.block_size)) * kdump.header.block_size
    if size >= 2 * need:
        start, size = start + size // 2, size // 2
    pages = range(min(kdump.max_pfn, 8 * size))
    if kdump.sub.split:
        new = kdump.version >= FIRST_VERSION_WITH_64_BIT_PFNS
        sub = kdump.sub
        first, end = (sub.start_pfn_64, sub.end_pfn_64) if new else (sub.start_pfn, sub.end_pfn)
        pages = range(min(first, pages.stop), min(end, pages.stop))
    return range(start, start + -(-pages.stop // 8)), pages


def _bits(fd: File, bitmap: range, pages: range) -> int:
    """Returns the number of bits that are set for `pages`; bit 0 is the lowest of its byte."""
    count = 0
    for at in range(bitmap.start + pages.start // 8, bitmap.stop, SLICE):
        data = read_some(fd, at, min(SLICE, bitmap.stop - at))
        value = int.from_bytes(data, "little")
        first = 8 * (at - bitmap.start)
        if pages.start > first:
            value = value >> (pages.start - first) << (pages.start - first)
        if pages.stop < first + 8 * len(data):
            value &= (1 << (pages.stop - first)) - 1
        count += value.bit_count()
    return count


def _end_of_pages(fd: File, kdump: Kdump, table: int, count: int) -> int:
    """Returns the end of the data that the last descriptors locate, or that of the descriptors.

    Descriptors at the end that are equal are passed over: pages of zeros share one copy. Raises
    `VmcoreFormatError` for descriptors that were never written.
    """
    size = DESCRIPTOR.size
    last = read_some(fd, table + (count - 1) * size, size)
    for skipped in range(0, min(count, MAX_DESCRIPTORS), SOME_DESCRIPTORS):
        number = min(SOME_DESCRIPTORS, count - skipped)
        data = read_some(fd, table + (count - skipped - number) * size, number * size)
        if data != last * number:
            break
    descriptors = struct.iter_unpack(kdump.order + DESCRIPTOR.format, data[: number * size])
    if data[: number * size] and not any(last):
        raise VmcoreFormatError("last page descriptors", "the places of pages", "zeros")
    ends = [int(offset + length) for offset, length, _, _ in descriptors]
    return max([table + count * size, *ends])
