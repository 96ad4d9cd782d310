"""/proc/vmcore, the file that the crash kernel provides (fs/proc/vmcore.c, Linux 6.1)."""

from __future__ import annotations

import errno
import io
import mmap
import os
from typing import Any

from vmcoredd.vmcore.devicedumps import DeviceDumps
from vmcoredd.vmcore.elf import PAGE_SIZE, round_up
from vmcoredd.vmcore.extents import map_extents


class ProcVmcore:
    """The entry in /proc: its size, and `open`."""

    mode = 0o400

    def __init__(self, dumps: DeviceDumps) -> None:
        self._dumps = dumps

    @property
    def size(self) -> int:
        """The file's size in bytes, a multiple of a page; it grows with every dump."""
        return self._dumps.image.size

    def open(self) -> VmcoreFile:
        """Opens the file for reading."""
        return VmcoreFile(self._dumps)


class VmcoreFile(io.RawIOBase):
    """/proc/vmcore, opened for reading.

    The file may change while it is open: adding a dump moves everything after the dumps, and a
    reader continues at its old offset in the new file. Only the size that `fstat` and SEEK_END use
    stays as it was at the time of opening (the inode's i_size).
    """

    def __init__(self, dumps: DeviceDumps) -> None:
        self._dumps = dumps
        self._position = 0
        self.stat_size = dumps.image.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads at the file's offset, across all its parts; returns 0 at the end.

        Raises `OSError` EFAULT if the memory of the crash context cannot be read.
        """
        done = self.pread_into(memoryview(buffer).cast("B"), self._position)
        self._position += done
        return done

    def pread(self, size: int, offset: int) -> bytes:
        """Returns up to `size` bytes at `offset`; errors as `readinto`, or EINVAL below 0."""
        available = max(0, min(size, self._dumps.image.size - offset))
        data = bytearray(available)
        return bytes(data[: self.pread_into(memoryview(data), offset)])

    def pread_into(self, view: memoryview, offset: int) -> int:
        """Fills `view` (bytes) from `offset`; returns the number of bytes read."""
        if offset < 0:
            raise _refusal(errno.EINVAL)
        done = 0
        for extent in self._dumps.image.extents.within(offset, offset + len(view)):
            try:
                extent.read_into(view[done : done + extent.size])
            except OSError as error:
                raise _refusal(errno.EFAULT) from error
            done += extent.size
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the file's offset, possibly past its end; `OSError` EINVAL if it is negative."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.stat_size}
        if whence not in start or start[whence] + offset < 0:
            raise _refusal(errno.EINVAL)
        self._position = start[whence] + offset
        return self._position

    def mmap(self, length: int, offset: int = 0, prot: int = mmap.PROT_READ) -> memoryview:
        """Maps `length` bytes at `offset`, a multiple of a page, and returns a read-only view.

        The view shows the pages themselves: header pages change when a dump is added; other pages
        remain those of the same dump, notes or memory, though their offset in the file changes.

        Raises `OSError`: EINVAL for a length of 0, an unaligned offset or a range past the end of
        the file; EPERM for a writable or executable mapping, checked after the range; EAGAIN if a
        part cannot be mapped; then nothing is mapped, and makedumpfile reads instead.
        """
        if length <= 0 or offset < 0 or offset % PAGE_SIZE:
            raise _refusal(errno.EINVAL)
        extents = self._dumps.image.extents
        size = round_up(length, PAGE_SIZE)
        if offset + size > extents.size:
            raise _refusal(errno.EINVAL)
        if prot & (mmap.PROT_WRITE | mmap.PROT_EXEC):
            raise _refusal(errno.EPERM)
        try:
            return map_extents(extents.within(offset, offset + size), offset, size)[:length]
        except OSError as error:
            raise _refusal(errno.EAGAIN) from error


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))
