"""Descriptors of every kind that a hostile peer may send; some block whoever uses them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
from collections.abc import Callable

SIZE = 1 << 16
FULL = (1 << 64) - 2


class Descriptors:
    """Makes descriptors by the name of their kind; closes all of them at the end."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def __call__(self, kind: str) -> int:
        """Returns a new descriptor, which stays open until `close`."""
        return self._keep(KINDS[kind](self))

    def close(self) -> None:
        """Closes everything."""
        while self._open:
            os.close(self._open.pop())

    def truncate(self) -> None:
        """Makes every memory file empty, behind the back of whoever maps it."""
        for fd in self._open:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)

    def _keep(self, fd: int) -> int:
        self._open.append(fd)
        return fd

    def memory(self) -> int:
        fd = os.memfd_create("fuzz", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SIZE)
        return fd

    def short_memory(self) -> int:
        fd = os.memfd_create("fuzz", os.MFD_CLOEXEC)
        os.ftruncate(fd, 100)
        return fd

    def eventfd(self) -> int:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def full_eventfd(self) -> int:
        """Blocks a writer for good."""
        fd = os.eventfd(0, os.EFD_CLOEXEC)
        os.eventfd_write(fd, FULL)
        return fd

    def pipe_to_read(self) -> int:
        read, write = os.pipe()
        self._keep(write)
        return read

    def full_pipe(self) -> int:
        """Blocks a writer for good."""
        read, write = os.pipe()
        self._keep(read)
        return _full(write)

    def full_socket(self) -> int:
        """Blocks a writer for good."""
        one, other = socket.socketpair()
        self._keep(one.detach())
        return _full(other.detach())

    def broken_pipe(self) -> int:
        """A writer gets SIGPIPE."""
        read, write = os.pipe()
        os.close(read)
        return write

    def epoll(self) -> int:
        with select.epoll() as poll:
            return os.dup(poll.fileno())

    def folder(self) -> int:
        return os.open("/", os.O_RDONLY | os.O_DIRECTORY)

    def file(self) -> int:
        fd, path = tempfile.mkstemp()
        os.unlink(path)
        return fd


def _full(fd: int) -> int:
    """Fills a pipe or socket; it blocks afterwards."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(4096))
    os.set_blocking(fd, True)
    return fd


KINDS: dict[str, Callable[[Descriptors], int]] = {
    "memory": Descriptors.memory,
    "short memory": Descriptors.short_memory,
    "eventfd": Descriptors.eventfd,
    "full eventfd": Descriptors.full_eventfd,
    "pipe to read": Descriptors.pipe_to_read,
    "full pipe": Descriptors.full_pipe,
    "full socket": Descriptors.full_socket,
    "broken pipe": Descriptors.broken_pipe,
    "folder": Descriptors.folder,
    "file": Descriptors.file,
    "null": lambda self: os.open(os.devnull, os.O_RDWR),
    "path only": lambda self: os.open("/etc/passwd", os.O_PATH),
    "epoll": Descriptors.epoll,
}
