"""Files whose memory two processes share. Either could truncate one: a later access through a
mapping then raises SIGBUS. A sealed file cannot be truncated."""

from __future__ import annotations

import fcntl
import mmap
import os

from .device import Area
from .errors import ProtocolError

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def memory_file(name: str, size: int) -> int:
    """Returns the descriptor of new memory, all 0, whose size nobody can change.

    `name` appears in /proc. Use it for what a server lets clients map and for what a client shares
    by `dma_map`. The caller closes it.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def keeps_its_size(fd: int) -> bool:
    """Seals a file against truncation if possible. Returns whether it is sealed."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            return True
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except OSError:
        return False
    return True


def mapped(area: Area, *, writable: bool) -> mmap.mmap | UnsealedArea:
    """Maps an area if its file can be sealed. Raises OSError, ValueError or OverflowError."""
    if not keeps_its_size(area.fd):
        return UnsealedArea(area, writable=writable)
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(area.fd, area.length, mmap.MAP_SHARED, access, offset=area.fd_offset)


class UnsealedArea:
    """An area whose file cannot be sealed, with the slices of an `mmap`.

    Each access is a system call, so that a truncated file raises ProtocolError, not SIGBUS. Raises
    ValueError if the area is not inside its file.
    """

    def __init__(self, area: Area, *, writable: bool) -> None:
        if area.fd_offset + area.length > os.fstat(area.fd).st_size:
            raise ValueError("the area is longer than its file")
        self._area, self._writable = area, writable
        self._fd = os.dup(area.fd)

    def __enter__(self) -> UnsealedArea:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._area.length

    def __getitem__(self, span: slice) -> bytes:
        at, length = self._place(span)
        data = os.pread(self._fd, length, at)
        if len(data) < length:
            raise ProtocolError("a shared area", "its file is truncated")
        return data

    def __setitem__(self, span: slice, data: bytes | bytearray | memoryview) -> None:
        at, length = self._place(span)
        if not self._writable:
            raise TypeError("the area is read-only")
        if len(data) != length:
            raise IndexError(f"{len(data)} bytes for {length}")
        if at + length > os.fstat(self._fd).st_size:
            raise ProtocolError("a shared area", "its file is truncated")
        os.pwrite(self._fd, data, at)

    def close(self) -> None:
        """Ends the access. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _place(self, span: slice) -> tuple[int, int]:
        start, end, step = span.indices(self._area.length)
        if step != 1:
            raise ValueError("a slice with a step")
        return self._area.fd_offset + start, max(0, end - start)
