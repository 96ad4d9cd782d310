"""Copies bytes between file descriptors: into a file inside the kernel, or into a pipe in order."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Set

from vmcoredd.plural import counted
from vmcoredd.vmcore.errors import OutputClosed, VmcoreFormatError

Way = Callable[[int, int, int, int], int]  # (source, offset, size, offset in the output) -> bytes

CHUNK = 64 << 20  # bytes per system call, hence between reports of progress
SMALL = 4096  # bytes, the smallest hole: less is copied without asking for holes
PIECE = 1 << 20  # bytes written to a pipe at once
BLOCK = 128 << 10  # copies that start at a block use large folios of the page cache
_REFUSED = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.ETXTBSY,
    errno.EBADF,
}


def data_runs(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields (start, end) of each run of data in [start, end) of the file; the rest is holes.

    The whole range is data if the file system does not report holes. There is none past the file's
    end.
    """
    while start < end:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
            hole = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            hole = end
        if start < end:
            yield start, min(hole, end)
        start = hole


def _piece(to: int) -> int:
    """Returns the size of the copy at offset `to` of the output: first up to the next block."""
    return CHUNK if to % BLOCK == 0 else BLOCK - to % BLOCK


class Copier:
    """Copies into the descriptor `out`; calls `advance(offset)` with the progress of the output.

    Each source is copied by the first method that accepts it: copy_file_range (which shares blocks
    if the file system can), sendfile (memory to file), or a small buffer in this process.
    """

    def __init__(self, out: int, advance: Callable[[int], None]) -> None:
        self._out = out
        self._advance = advance
        self._buffer = memoryview(bytearray(BLOCK))

    def copy(self, fd: int, offset: int, size: int, to: int) -> None:
        """Copies `size` bytes at `offset` of `fd` to offset `to` of the output. Leaves out holes of
        the source, which therefore read as zeros.

        Raises `VmcoreFormatError` if the source is too short, `OSError` from the system calls.
        """
        if size < SMALL:  # not worth three more system calls: a base may have a million segments
            self._run(fd, offset, offset + size, to - offset)
            return
        for start, end in data_runs(fd, offset, offset + size):
            self._run(fd, start, end, to - offset)
            self._advance(end + to - offset)
        _check_end(fd, offset + size)

    def end(self, size: int) -> None:
        """Makes the output `size` bytes long."""
        os.ftruncate(self._out, size)

    def _run(self, fd: int, start: int, end: int, shift: int) -> None:
        for way in (self._ranged, self._sent):
            start = self._by(way, fd, start, end, shift, _REFUSED)
            if start == end:
                return
        start = self._by(self._bounced, fd, start, end, shift)
        if start < end:
            raise _ended_early(end, start)

    def _by(
        self,
        way: Way,
        fd: int,
        start: int,
        end: int,
        shift: int,
        refusals: Set[int] = frozenset(),
    ) -> int:
        """Copies from `start` by `way`; returns `end`, or the offset at which `way` stopped."""
        while start < end:
            try:
                done = way(fd, start, min(_piece(start + shift), end - start), start + shift)
            except OSError as error:
                if error.errno not in refusals:
                    raise
                break
            if done == 0:
                break
            start += done
            self._advance(start + shift)
        return start

    def _ranged(self, fd: int, start: int, size: int, to: int) -> int:
        return os.copy_file_range(fd, self._out, size, start, to)

    def _sent(self, fd: int, start: int, size: int, to: int) -> int:
        os.lseek(self._out, to, os.SEEK_SET)
        return os.sendfile(self._out, fd, start, size)

    def _bounced(self, fd: int, start: int, size: int, to: int) -> int:
        read = os.preadv(fd, [self._buffer[: min(size, BLOCK)]], start)
        return os.pwrite(self._out, self._buffer[:read], to)


class Streamer:
    """Writes into the descriptor `out` in order, zeros for holes: for pipes, which cannot seek.

    `advance(offset)` is called with the progress of the output.
    """

    def __init__(self, out: int, advance: Callable[[int], None]) -> None:
        self._out = out
        self._advance = advance
        self._at = 0
        self._buffer = memoryview(bytearray(PIECE))
        self._zeros = memoryview(bytes(PIECE))

    def copy(self, fd: int, offset: int, size: int, to: int) -> None:
        """Copies `size` bytes at `offset` of `fd` to offset `to` of the output, past all before.

        Raises as `Copier.copy` does; `OutputClosed` if the reader has gone.
        """
        for start, end in data_runs(fd, offset, offset + size):
            self.end(start + to - offset)
            self._run(fd, start, end)
        _check_end(fd, offset + size)
        self.end(to + size)

    def end(self, size: int) -> None:
        """Writes zeros until the output is `size` bytes long."""
        while self._at < size:
            self._write(self._zeros[: size - self._at])

    def _run(self, fd: int, start: int, end: int) -> None:
        while start < end:
            read = os.preadv(fd, [self._buffer[: end - start]], start)
            if not read:
                raise _ended_early(end, start)
            self._write(self._buffer[:read])
            start += read

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                done = os.write(self._out, data)
            except BrokenPipeError:
                raise OutputClosed(f"its reader left after {counted(self._at, 'byte')}") from None
            data = data[done:]
            self._at += done
        self._advance(self._at)


def _check_end(fd: int, need: int) -> None:
    have = os.lseek(fd, 0, os.SEEK_END)
    if have < need:
        what = "the file, which became shorter while it was copied"
        raise VmcoreFormatError(what, need, have)


def _ended_early(need: int, have: int) -> VmcoreFormatError:
    return VmcoreFormatError("the file, which ended while it was copied", need, have)
