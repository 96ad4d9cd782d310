"""How a vmcore's bytes lie in a file: as they are, or in the records of a flattened file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias


class Piece(NamedTuple):
    """`size` bytes of the vmcore from `start` on, which are at offset `place` of the file."""

    start: int
    size: int
    place: int


class View(Protocol):
    """A vmcore of `size` bytes, which are in another order in the file."""

    size: int

    def fileno(self) -> int:
        """Returns the file's descriptor."""

    def pieces(self, start: int, size: int) -> Iterator[Piece]:
        """Yields what the file has of a range, in order; the rest of the range is zeros."""


File: TypeAlias = int | View
"""The descriptor of a vmcore, or a view of it."""


def descriptor(file: File) -> int:
    """Returns the file's descriptor."""
    return file if isinstance(file, int) else file.fileno()


def size_of(file: File) -> int:
    """Returns the size of the vmcore in bytes."""
    return end_of(file) if isinstance(file, int) else file.size


def end_of(fd: int) -> int:
    """Returns the size of a file in bytes, found by reading past the size in the inode.

    That of /proc/vmcore is too small if anything looked at the file before a driver added its dump.
    """
    end = os.lseek(fd, 0, os.SEEK_END)
    step = 1
    while _has(fd, end + step - 1):
        end += step
        step *= 2
    while step > 1:
        step //= 2
        if _has(fd, end + step - 1):
            end += step
    return end


def _has(fd: int, at: int) -> bool:
    """Returns whether a file has a byte at an offset."""
    try:
        return bool(os.pread(fd, 1, at))
    except (OSError, OverflowError):
        return False


def pieces(file: File, start: int, size: int) -> Iterator[Piece]:
    """Yields what the file has of a range, in order; the rest of the range is zeros."""
    if isinstance(file, int):
        yield Piece(start, size, start)
    else:
        yield from file.pieces(start, size)


def read_some(file: File, offset: int, size: int) -> bytes:
    """Returns up to `size` bytes at `offset`, which may be any number that a file can contain."""
    if isinstance(file, int):
        return os.pread(file, size, offset) if offset + size < 1 << 63 else b""
    return _read_pieces(file, offset, min(size, file.size - offset)) if offset < file.size else b""


def _read_pieces(view: View, offset: int, size: int) -> bytes:
    data = bytearray(size)
    for start, count, place in view.pieces(offset, size):
        found = os.pread(view.fileno(), count, place)
        data[start - offset : start - offset + len(found)] = found
    return bytes(data)
