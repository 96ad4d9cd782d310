"""A server's socket file: replaces a stale one, respects a live one, leaves none behind."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import stat
from collections.abc import Iterator

from . import lock
from .errors import ListenError
from .protocol import PATH_MAX


@contextlib.contextmanager
def prepared(path: str, mode: int, owner: str | int | None) -> Iterator[None]:
    """Wraps the bind() of a socket at `path`: removes a stale one, sets mode and owner.

    `owner` is a user's name or number. Other servers of this user that start at `path` wait; those
    of another user are told, since the lock file is this user's alone (see lock.py).

    Raises ListenError.
    """
    _check_length(path)
    uid = _uid(path, owner)
    with _locked(path):
        remove_stale(path)
        before = os.umask(0o777 & ~mode)
        try:
            yield
        finally:
            os.umask(before)
        if uid is not None:
            _give(path, uid)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds the lock for `path`: the file beside it, with `.lock` added to its name."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.held(os.path.abspath(path) + ".lock"))
        except OSError as error:
            raise ListenError(path, error.strerror or "", error.errno or 0) from error
        yield


def identity(path: str) -> tuple[int, int]:
    """Returns device and inode of the file at `path`."""
    at = os.lstat(path)
    return at.st_dev, at.st_ino


def remove(path: str, made: tuple[int, int]) -> None:
    """Removes the socket at `path` if it is still the one with identity `made`."""
    with contextlib.suppress(FileNotFoundError):
        if identity(path) == made:
            os.unlink(path)


def _check_length(path: str) -> None:
    length = len(os.fsencode(path))
    if length > PATH_MAX:
        why = f"the path has {length} bytes, a socket's may have {PATH_MAX}"
        raise ListenError(path, why, errno.ENAMETOOLONG)


def _uid(path: str, owner: str | int | None) -> int | None:
    if owner is None or isinstance(owner, int):
        return owner
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError as error:
        raise ListenError(path, f"there is no user {owner}", errno.EINVAL) from error


def _give(path: str, uid: int) -> None:
    try:
        os.chown(path, uid, -1)
    except OSError as error:
        raise ListenError(path, f"owner {uid}: {error.strerror}", error.errno or 0) from error


def remove_stale(path: str) -> None:
    """Removes a socket at which nobody listens. Raises ListenError if anything else is there."""
    try:
        at = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(at.st_mode):
        raise ListenError(path, "it exists and is no socket", errno.EEXIST)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        refusal = probe.connect_ex(path)
    if refusal != errno.ECONNREFUSED:
        raise ListenError(path, "another server listens there", errno.EADDRINUSE)
    os.unlink(path)
