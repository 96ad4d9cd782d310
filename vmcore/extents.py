"""A file as a list of extents: which bytes come from where.

/proc/vmcore is nothing else: its headers, dumps, notes and memory lie in different places and
appear as one file. Reading, mapping and writing it all walk the same list.
"""

from __future__ import annotations

import ctypes
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol


class Source(Protocol):
    """Bytes with a file descriptor; holding the source keeps the descriptor open."""

    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """`size` bytes of the file from `start` on: those of `source` from `offset` on, or zeros."""

    start: int
    size: int
    source: Source | None = None
    offset: int = 0

    @property
    def end(self) -> int:
        return self.start + self.size

    def cut(self, start: int, end: int) -> Extent:
        """The part of this extent that lies in [start, end), which must not be empty."""
        first = max(start, self.start)
        return Extent(
            first, min(end, self.end) - first, self.source, self.offset + first - self.start
        )

    def read_into(self, out: memoryview) -> None:
        """Fill `out` (`size` bytes); where the source has ended the rest is zero."""
        done = 0
        while self.source is not None and done < self.size:
            got = os.preadv(self.source.fileno(), [out[done:]], self.offset + done)
            if got == 0:
                break
            done += got
        rest = self.size - done
        if rest:
            ctypes.memset((ctypes.c_char * rest).from_buffer(out, done), 0, rest)


def within(extents: Sequence[Extent], start: int, end: int) -> Iterator[Extent]:
    """The parts of `extents` (sorted, gapless, none empty) that lie in [start, end), in order."""
    first = bisect_right(extents, start, key=lambda extent: extent.end)
    for extent in islice(extents, first, None):
        if extent.start >= end:
            return
        yield extent.cut(start, end)
