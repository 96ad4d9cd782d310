"""Sparse memory in a memfd: shared with clients, copied without touching its holes."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator


class Memfd:
    """`size` bytes (a multiple of the page size), zero until written; `view` maps them.

    `close()` closes the descriptor at once; it also goes with the object.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.fd = os.memfd_create(f"emu:{name}")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self.close = weakref.finalize(self, os.close, self.fd)
        self.view = memoryview(self.map)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The parts that were ever written, as (offset, length)."""
        offset = 0
        while True:
            try:
                start = os.lseek(self.fd, offset, os.SEEK_DATA)
            except OSError:
                return
            offset = os.lseek(self.fd, start, os.SEEK_HOLE)
            yield start, offset - start

    def copy(self) -> Memfd:
        """A sparse copy."""
        twin = Memfd(self.name, self.size)
        for start, length in self.extents():
            twin.view[start : start + length] = self.view[start : start + length]
        return twin

    def assign(self, other: Memfd) -> None:
        """Takes over the content of `other`, which has the same size; its holes become holes."""
        self.map.madvise(mmap.MADV_REMOVE)
        for start, length in other.extents():
            self.view[start : start + length] = other.view[start : start + length]
