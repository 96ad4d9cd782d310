"""One read-only mapping over many sources: what the kernel's mmap of /proc/vmcore does.

Whole pages are mapped from their source and show what happens to it later; the pages that a
source fills in part are copied, and so hold zeros where it ends.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import weakref
from collections.abc import Iterable

from vmcoredd.vmcore.elf import PAGE_SIZE, round_down, round_up
from vmcoredd.vmcore.extents import Extent

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


def map_extents(extents: Iterable[Extent], start: int, size: int) -> memoryview:
    """`size` bytes (whole pages) of a file from `start` on, which `extents` make up.

    The mapping lives as long as the view or a part of it. `OSError` if a source cannot be mapped:
    also when its bytes do not lie on the same place within a page as they have in the file.
    """
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    address = _map(None, size, mmap.PROT_READ | mmap.PROT_WRITE, anonymous, -1, 0)
    memory = (ctypes.c_char * size).from_address(address)
    unmap = weakref.finalize(memory, _libc.munmap, address, size)
    view = memoryview(memory).cast("B")
    try:
        for extent in extents:
            _place(extent, address - start, view, start)
        if _libc.mprotect(address, size, mmap.PROT_READ):
            raise _error()
    except OSError:
        unmap()
        raise
    return view.toreadonly()


def _place(extent: Extent, shift: int, view: memoryview, start: int) -> None:
    """Show `extent`: file offset + `shift` is its address, and `view` begins at file `start`."""
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
