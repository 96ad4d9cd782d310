"""What the transports of real adapters share: BAR0 as a mapping, configuration space as a file."""

from __future__ import annotations

import errno
import mmap
import os

from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.io import SingleIo


class MappedBar:
    """`size` bytes at `offset` of a file, mapped; `io` is the address of a `struct io` over them.

    Raises OSError if the kernel does not allow the mapping.
    """

    def __init__(self, descriptor: int, size: int, offset: int = 0) -> None:
        self._mapping = mmap.mmap(descriptor, size, offset=offset)
        self._view = ffi.from_buffer(self._mapping)
        self._mmio = ffi.new("struct mmio *")
        base = int(ffi.cast("uintptr_t", self._view))
        if result := lib.mmio_init(self._mmio, base, size):
            raise OSError(-result, os.strerror(-result))

    @property
    def io(self) -> int:
        """The address of its `struct io`, which lives as long as this object."""
        return int(ffi.cast("uintptr_t", ffi.addressof(self._mmio, "io")))

    def close(self) -> None:
        """Takes the mapping away; every later access fails."""
        lib.mmio_end(self._mmio)
        ffi.release(self._view)
        self._mapping.close()


class ConfigFile(SingleIo):
    """Configuration space: `size` bytes at `start` of a file.

    Each access is one system call of its width.
    """

    def __init__(self, descriptor: int, size: int, start: int = 0) -> None:
        self.size = size
        self._descriptor, self._start = descriptor, start

    def ends_at(self, offset: int) -> bool:
        """Returns whether the kernel shows nothing from `offset` on. Raises DeadDevice."""
        return not self._bytes(offset, 1)

    def read(self, offset: int, width: int = 4) -> int:
        """Returns `width` bytes. Raises DeadDevice."""
        data = self._bytes(offset, width)
        if len(data) < width:
            raise self._lost(errno.EIO, offset)
        return int.from_bytes(data, "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes `width` bytes. Raises DeadDevice."""
        try:
            os.pwrite(self._descriptor, value.to_bytes(width, "little"), self._start + offset)
        except OSError as error:
            raise self._lost(error.errno, offset) from error

    def _bytes(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self._descriptor, count, self._start + offset)
        except OSError as error:
            raise self._lost(error.errno, offset) from error

    def _lost(self, code: int | None, offset: int) -> DeadDevice:
        return DeadDevice(-(code or errno.EIO), f"configuration space at {offset:#x}")
