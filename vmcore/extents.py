"""A file as a list of extents, each with the source of its bytes.

/proc/vmcore is such a list: its headers, dumps, notes and memory are in different locations and
appear as one file. Reading, mapping and writing it all use the same list. `MemoryFile` is the
source of the parts that are in memory, `map_extents` maps a list as one view.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from vmcoredd.vmcore.elf import PAGE_SIZE, round_down, round_up

_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000  # asm-generic/mman-common.h, mman.h
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Source(Protocol):
    """Bytes with a file descriptor; holding the source keeps the descriptor open."""

    def fileno(self) -> int: ...


class Extent(NamedTuple):
    """`size` bytes of the file from `start`: the bytes of `source` from `offset`, or zeros."""

    start: int
    size: int
    source: Source | None = None
    offset: int = 0

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + self.size

    def cut(self, start: int, end: int) -> Extent:
        """Returns the part of this extent in [start, end), which must not be empty."""
        first = max(start, self.start)
        return Extent(
            first, min(end, self.end) - first, self.source, self.offset + first - self.start
        )

    def read_into(self, out: memoryview) -> None:
        """Fills `out` (`size` bytes), with zeros past the end of the source."""
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
    """Yields the parts in [start, end) of `extents` (sorted, without gaps, none empty)."""
    first = bisect_right(extents, start, key=lambda extent: extent.end)
    for extent in islice(extents, first, None):
        if extent.start >= end:
            return
        yield extent.cut(start, end)


def joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yields the extents, those that continue each other in file and source as one."""
    last: Extent | None = None
    for extent in extents:
        if last and last.source is extent.source and _continues(last, extent):
            last = Extent(last.start, last.size + extent.size, last.source, last.offset)
            continue
        if last:
            yield last
        last = extent
    if last:
        yield last


def _continues(last: Extent, extent: Extent) -> bool:
    return last.source is None or last.offset + last.size == extent.offset


class MemoryFile:
    """`size` zero bytes of memory with a file descriptor; pages are allocated on first access.

    `view` is the writable memory; `fileno()` allows it to be copied or mapped again. Raises
    `OSError` (ENOMEM, EMFILE, ...) if the system cannot provide it.
    """

    def __init__(self, label: str, size: int) -> None:
        fd = os.memfd_create(label, os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._open(fd, size)

    @classmethod
    def of(cls, fd: int) -> MemoryFile:
        """Takes over the descriptor of one that another process has made, and maps it."""
        made = cls.__new__(cls)
        made._open(fd, os.fstat(fd).st_size)
        return made

    def _open(self, fd: int, size: int) -> None:
        try:
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self.size = size
        self.view = memoryview(self._map)

    def fileno(self) -> int:
        """Returns the descriptor, which `close` closes."""
        return self._fd

    def close(self) -> None:
        """Frees the memory, immediately or when its last view is released."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        try:
            self.view.release()
            self._map.close()
        except BufferError:
            del self.view, self._map

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


def map_extents(extents: Iterable[Extent], start: int, size: int) -> memoryview:
    """Maps `size` bytes (whole pages) of a file from `start`; `extents` are exactly those bytes.

    Whole pages are mapped from their source and show later changes to it. Pages that a source fills
    in part are copied, with zeros around the data. The mapping lasts until its last view ends.

    Raises `OSError` if a source cannot be mapped; EINVAL if its data are at a different offset
    within a page than in the file.
    """
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    address = _map(None, size, mmap.PROT_READ | mmap.PROT_WRITE, anonymous, -1, 0)
    memory = (ctypes.c_char * size).from_address(address)
    unmap = weakref.finalize(memory, _libc.munmap, address, size)
    view = memoryview(memory).cast("B")
    try:
        for extent in extents:
            _show(extent, address - start, view, start)
        if _libc.mprotect(address, size, mmap.PROT_READ):
            raise _error()
    except OSError:
        unmap()
        raise
    return view.toreadonly()


def _show(extent: Extent, shift: int, view: memoryview, start: int) -> None:
    """Maps or copies `extent`: its address is file offset + `shift`; `view` begins at `start`."""
    if extent.source is None:
        return
    first, last = round_up(extent.start, PAGE_SIZE), round_down(extent.end, PAGE_SIZE)
    if first < last:
        whole = extent.cut(first, last)
        if whole.offset % PAGE_SIZE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flags = mmap.MAP_SHARED | _MAP_FIXED
        _map(first + shift, whole.size, mmap.PROT_READ, flags, extent.source.fileno(), whole.offset)
    for begin, end in ((extent.start, min(first, extent.end)), (max(last, first), extent.end)):
        if begin < end:
            extent.cut(begin, end).read_into(view[begin - start : end - start])


def _map(address: int | None, size: int, protection: int, flags: int, fd: int, offset: int) -> int:
    result = _libc.mmap(address, size, protection, flags, fd, offset)
    if result is None or result == _FAILED:
        raise _error()
    return int(result)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
