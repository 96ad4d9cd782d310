"""/proc/vmcore: the file that the crash kernel shows (fs/proc/vmcore.c, Linux 6.1)."""

from __future__ import annotations

import errno
import io
import mmap
import os
from typing import Any

from vmcoredd.vmcore.devicedumps import DeviceDumps
from vmcoredd.vmcore.elf import PAGE_SIZE, round_up
from vmcoredd.vmcore.extents import within
from vmcoredd.vmcore.mapping import map_extents


class ProcVmcore:
    """The entry in /proc: its size, and files opened from it."""

    mode = 0o400

    def __init__(self, dumps: DeviceDumps) -> None:
        self._dumps = dumps

    @property
    def size(self) -> int:
        """Bytes of the file, a multiple of a page; it grows with every dump that is added."""
        return self._dumps.image.size

    def open(self) -> VmcoreFile:
        return VmcoreFile(self._dumps)


class VmcoreFile(io.RawIOBase):
    """/proc/vmcore, opened for reading.

    Nothing holds the file still: a dump that is added moves all that lies behind the headers, and
    a reader goes on at its old offset in the new file. Only the size that `fstat` tells and from
    which SEEK_END counts stays as it was when the file was opened (the inode's i_size).
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
        """Read on at the file's offset, across headers, dumps, notes and memory; 0 at the end.

        `OSError` EFAULT where the memory of the crash context cannot be read.
        """
        done = self.pread_into(memoryview(buffer).cast("B"), self._position)
        self._position += done
        return done

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; errors as `readinto`, EINVAL for an offset below 0."""
        available = max(0, min(size, self._dumps.image.size - offset))
        data = bytearray(available)
        return bytes(data[: self.pread_into(memoryview(data), offset)])

    def pread_into(self, view: memoryview, offset: int) -> int:
        """Fill `view` (bytes) from `offset` on; the number of bytes there were."""
        if offset < 0:
            raise _refusal(errno.EINVAL)
        done = 0
        for extent in within(self._dumps.image.extents, offset, offset + len(view)):
            try:
                extent.read_into(view[done : done + extent.size])
            except OSError as error:
                raise _refusal(errno.EFAULT) from error
            done += extent.size
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the file's offset, also beyond its end. `OSError` EINVAL for one below 0."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.stat_size}
        if whence not in start or start[whence] + offset < 0:
            raise _refusal(errno.EINVAL)
        self._position = start[whence] + offset
        return self._position

    def mmap(self, length: int, offset: int = 0, prot: int = mmap.PROT_READ) -> memoryview:
        """Map `length` bytes at `offset`, a multiple of a page; the view is read-only.

        It shows the pages themselves: header pages change when a dump is added, and the other
        pages stay those of the same dump, notes or memory, though their offset in the file moves.

        `OSError` EINVAL for no length, an offset within a page or a range beyond the file's end;
        EPERM for a writable or executable mapping, checked after the range; EAGAIN where a part
        cannot be mapped, which leaves nothing mapped (makedumpfile then reads instead).
        """
        if length <= 0 or offset < 0 or offset % PAGE_SIZE:
            raise _refusal(errno.EINVAL)
        extents = self._dumps.image.extents
        size = round_up(length, PAGE_SIZE)
        if offset + size > extents[-1].end:
            raise _refusal(errno.EINVAL)
        if prot & (mmap.PROT_WRITE | mmap.PROT_EXEC):
            raise _refusal(errno.EPERM)
        try:
            return map_extents(within(extents, offset, offset + size), offset, size)[:length]
        except OSError as error:
            raise _refusal(errno.EAGAIN) from error


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))
