"""Reads makedumpfile's flattened format in place: what `makedumpfile -F` writes to a pipe.

A header of one page is followed by records: offset and size in the vmcore, then the bytes; offset
-1 ends them. Numbers are big-endian. Later records replace what earlier ones wrote: the headers are
written again at the end. Source: makedumpfile's makedumpfile.h (struct makedumpfile_header,
struct makedumpfile_data_header).
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from heapq import heappop, heappush

from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.view import Piece

SIGNATURE = b"makedumpfile\0\0\0\0"
HEADER_BYTES = 4096
MAX_RECORDS = 1 << 20
"""More than there are: makedumpfile gathers what it writes (observed: 7 records in 64 MiB)."""
MAX_SIZE = 1 << 62
_HEADER = struct.Struct(">16sqq")
_RECORD = struct.Struct(">qq")
_END = -1


class Flattened:
    """The vmcore in the flattened file `fd` of `file_size` bytes: a `View`.

    Reads the header of each record, so opening takes time in proportion to their number. A file
    that ends early, or whose records are damaged further on, has what comes before; `damage` lists
    the problems. Raises `VmcoreFormatError` if the header is unknown.
    """

    def __init__(self, fd: int, file_size: int) -> None:
        self._fd = fd
        self._file_size = file_size
        self.damage: list[VmcoreFormatError] = []
        _check_header(os.pread(fd, _HEADER.size, 0))
        found = _Index([*self._records()])
        self._starts, self._sizes, self._places = found.starts, found.sizes, found.places
        self.size = self._starts[-1] + self._sizes[-1] if self._starts else 0

    def fileno(self) -> int:
        """Returns the file's descriptor."""
        return self._fd

    def pieces(self, start: int, size: int) -> Iterator[Piece]:
        """Yields what the records have of a range, in order."""
        end = start + size
        for index in range(max(bisect_right(self._starts, start) - 1, 0), len(self._starts)):
            first, count = self._starts[index], self._sizes[index]
            if first >= end:
                return
            low, high = max(first, start), min(first + count, end)
            if low < high:
                yield Piece(low, high - low, self._places[index] + low - first)

    def _records(self) -> Iterator[Piece]:
        at = HEADER_BYTES
        for number in range(MAX_RECORDS):
            head = os.pread(self._fd, _RECORD.size, at)
            if len(head) < _RECORD.size:
                self._report(f"record {number} of the flattened file", _RECORD.size, len(head))
                return
            offset, size = _RECORD.unpack(head)
            at += _RECORD.size
            if offset == _END:
                return
            if not 0 <= offset <= MAX_SIZE or not 0 <= size <= MAX_SIZE:
                what = f"record {number} of the flattened file"
                self._report(what, "an offset and a size", f"{offset} and {size}")
                return
            present = min(size, self._file_size - at)
            if present > 0:
                yield Piece(offset, present, at)
            if present < size:
                self._report(f"record {number} of the flattened file", size, max(present, 0))
                return
            at += size
        self._report("records of the flattened file", f"at most {MAX_RECORDS}", "more")

    def _report(self, what: str, need: int | str, have: int | str) -> None:
        self.damage.append(VmcoreFormatError(what, need, have))


def is_flattened(head: bytes) -> bool:
    """Returns whether a file that begins with `head` is flattened."""
    return head.startswith(SIGNATURE)


def _check_header(head: bytes) -> None:
    if len(head) < _HEADER.size:
        raise VmcoreFormatError("header of the flattened file", _HEADER.size, len(head))
    _, kind, version = _HEADER.unpack(head)
    if (kind, version) != (1, 1):
        have = f"type {kind}, version {version}"
        raise VmcoreFormatError("header of the flattened file", "type 1, version 1", have)


class _Index:
    """What is left of the records where later ones replace earlier ones, in order of offset."""

    def __init__(self, records: list[Piece]) -> None:
        self.starts, self.sizes, self.places = array("q"), array("q"), array("q")
        order = sorted(range(len(records)), key=lambda number: records[number].start)
        active: list[int] = []  # numbers, negative: the latest is the first
        at, next_ = 0, 0
        while active or next_ < len(order):
            if not active:
                at = max(at, records[order[next_]].start)
            while next_ < len(order) and records[order[next_]].start <= at:
                heappush(active, -order[next_])
                next_ += 1
            latest = records[-active[0]]
            end = latest.start + latest.size
            if end <= at:
                heappop(active)
                continue
            if next_ < len(order):
                end = min(end, records[order[next_]].start)
            self._add(at, end - at, latest.place + at - latest.start)
            at = end

    def _add(self, start: int, size: int, place: int) -> None:
        """Adds a piece, or makes the last one longer if it goes on there."""
        if self.starts:
            before = self.sizes[-1]
            if (self.starts[-1] + before, self.places[-1] + before) == (start, place):
                self.sizes[-1] += size
                return
        self.starts.append(start)
        self.sizes.append(size)
        self.places.append(place)
