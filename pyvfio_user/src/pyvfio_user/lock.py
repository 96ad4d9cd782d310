"""A lock in a folder that others may use: nobody but its user can hold it, and no wait is endless.

The lock is on a file of its own, which only its user may open. (A lock on the folder or on a file
that others may read can be held by anyone.) The file exists only while somebody starts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

WAIT = 5.0
"""Seconds that another server may take to start."""
PAUSE = 0.02


class Busy(OSError):
    """The lock could not be had."""


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """Holds the lock file `path`, which must be absolute. Raises OSError; Busy after `WAIT`."""
    file = _obtain(path, time.monotonic() + WAIT)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(file)


def _obtain(path: str, end: float) -> int:
    while True:
        file = _try(path)
        if file is not None:
            return file
        if time.monotonic() > end:
            raise Busy(errno.EBUSY, _reason(path))
        time.sleep(PAUSE)


def _try(path: str) -> int | None:
    """Returns the file with its lock; None if somebody else holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except PermissionError:
        if not os.path.lexists(path):
            raise  # the folder's permissions
        return None
    if _is_ours(file) and _lock(file) and _is_at(path, file):
        return file
    os.close(file)
    return None


def _is_ours(file: int) -> bool:
    return os.fstat(file).st_uid == os.geteuid()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: str, file: int) -> bool:
    """Returns whether `file` is at `path`: who held the lock before has removed its file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _reason(path: str) -> str:
    try:
        owner = os.lstat(path).st_uid
    except OSError:
        owner = os.geteuid()
    if owner == os.geteuid():
        return f"another server has been starting there for {WAIT:g} seconds: it holds {path}"
    return f"{path} belongs to user {owner}: if no server of that user is starting, remove it"
