"""An output file that appears under its name only when it is complete.

It is written without a name (O_TMPFILE), so even a killed process leaves nothing behind. On file
systems without O_TMPFILE it has a temporary name in the same directory, which is removed after any
failure except a kill. The data are not flushed to disk. A pipe gets the bytes in order instead,
and a log (`open_log`) has its name from the start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Self

from vmcoredd.vmcore.copying import Copier, Streamer
from vmcoredd.vmcore.errors import OutputExists, OutputUnsuitable

MODE = 0o600  # crash memory is private; the same as makedumpfile's
STDOUT = 1
MAX_LINKS = 40  # as the kernel
_STDOUT_NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_NOFOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
_WRITING = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


def check_output(path: str | os.PathLike[str], *, force: bool = False, stream: bool = True) -> str:
    """Returns the real path of `path` if an output may be written there.

    `-`, `/dev/stdout` and the like are standard output. That, a FIFO and a character device are
    written in order, if `stream` allows it; a terminal is refused. Raises `OutputExists` (unless
    `force`); `OutputUnsuitable` for anything else that is not a regular file, and for a link or
    FIFO that another user put into a folder like /tmp; `OSError` if the directory does not exist or
    is not writable.
    """
    name = os.fspath(path)
    if is_stdout(name):
        if fcntl.fcntl(STDOUT, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OutputUnsuitable(f"{name}: standard output is closed or only for reading")
        _check_stream(name, os.fstat(STDOUT), stream, os.isatty(STDOUT))
        return name
    try:
        info = os.stat(name)
    except FileNotFoundError:
        info = None
    if info and not stat.S_ISREG(info.st_mode):
        _check_stream(name, info, stream, stat.S_ISCHR(info.st_mode) and _is_terminal(name))
        if stat.S_ISFIFO(info.st_mode):
            _check_owner(name, os.lstat(name), os.path.dirname(os.path.abspath(name)))
        return name
    target = _resolved(name)
    directory = os.path.dirname(target)
    if info and not force:
        raise OutputExists(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.stat(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), directory)
    return target


def open_log(path: str | os.PathLike[str]) -> int:
    """Opens a log, which has its name while it grows: made empty, and private as a vmcore is.

    Returns the descriptor. Raises as `check_output` does, also for another user's file in a folder
    like /tmp: nobody leads the log elsewhere or reads it.
    """
    target = check_output(path, force=True, stream=False)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | _NOFOLLOW, MODE)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OutputUnsuitable(f"{target}: not a regular file")
        _check_owner(target, info, os.path.dirname(target))
        os.fchmod(fd, MODE)
        os.truncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_stdout(path: str | os.PathLike[str]) -> bool:
    """Returns whether an output at `path` goes to standard output."""
    return os.fspath(path) in _STDOUT_NAMES


def _check_stream(name: str, info: os.stat_result, stream: bool, is_terminal: bool) -> None:
    kind = stat.S_IFMT(info.st_mode)
    if not stream:
        raise OutputUnsuitable(f"{name}: this output cannot be streamed; give a regular file")
    if is_terminal:
        raise OutputUnsuitable(f"{name}: a terminal, which cannot show binary data; use a pipe")
    if kind == stat.S_IFSOCK and not is_stdout(name):
        raise OutputUnsuitable(f"{name}: a socket, which cannot be opened")
    if kind not in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFREG):
        raise OutputUnsuitable(f"{name}: neither a regular file nor a pipe")


def _is_terminal(name: str) -> bool:
    try:
        fd = os.open(name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)


def _resolved(path: str) -> str:
    """Returns the real path of `path`; refuses links that another user put into a shared folder."""
    rest = os.path.join(os.getcwd(), path).split("/")[::-1]
    at, links = "/", 0
    while rest:
        part = rest.pop()
        step = os.path.dirname(at) if part == ".." else os.path.join(at, part)
        if part in ("", ".", "..") or not os.path.islink(step):
            at = at if part in ("", ".") else step
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        _check_owner(step, os.lstat(step), at)
        target = os.readlink(step)
        at = "/" if target.startswith("/") else at
        rest += target.split("/")[::-1]
    return at


def _check_owner(path: str, info: os.stat_result, directory: str) -> None:
    """Raises `OutputUnsuitable` for another user's entry of a sticky folder that all may write to.

    That is the rule of fs.protected_symlinks, which may be off.
    """
    folder = os.stat(directory)
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if shared and info.st_uid not in (os.geteuid(), folder.st_uid):
        kinds = {stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}
        kind = kinds.get(stat.S_IFMT(info.st_mode), "file")
        why = f"a {kind} of user {info.st_uid} in a folder that everybody can write to"
        raise OutputUnsuitable(f"{path}: {why}; remove it or choose another output")


class Output:
    """A context manager: `copier` or `fileno` is for writing; a normal exit publishes the file.

    After an exception an existing file at `path` is unchanged; a stream (see `check_output`) has
    received what was written so far. Raises as `check_output` does, also if another process creates
    the file in the meantime.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, force: bool = False, stream: bool = True
    ) -> None:
        self._path = os.fspath(path)
        self._force = force
        self._stream = stream
        self._directory = -1
        self._fd = -1
        self._is_stream = False
        self._temporary: str | None = None

    def __enter__(self) -> Self:
        target = check_output(self._path, force=self._force, stream=self._stream)
        self._is_stream = is_stdout(target) or not _is_file_or_new(target)
        if self._is_stream:
            self._fd = os.dup(STDOUT) if is_stdout(target) else _open_stream(target)
            return self
        directory, self._name = os.path.split(target)
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | _NOFOLLOW)
        try:
            self._open(directory)
        except BaseException:
            os.close(self._directory)
            raise
        return self

    def fileno(self) -> int:
        """Returns the descriptor to write to."""
        return self._fd

    def copier(self, advance: Callable[[int], None]) -> Copier | Streamer:
        """Returns what copies into the output; it calls `advance(offset)` with its progress."""
        return Streamer(self._fd, advance) if self._is_stream else Copier(self._fd, advance)

    def _open(self, directory: str) -> None:
        try:
            self._fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, MODE)
            os.stat(self._nameless)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, path = tempfile.mkstemp(dir=directory, prefix=self._prefix, suffix=".part")
            self._temporary = os.path.basename(path)

    @property
    def _prefix(self) -> str:
        return f".{self._name[:200]}."

    @property
    def _nameless(self) -> str:
        return f"/proc/self/fd/{self._fd}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_stream:
            os.close(self._fd)
            return
        try:
            if kind is None:
                self._publish()
        finally:
            os.close(self._fd)
            if self._temporary is not None:
                os.unlink(self._temporary, dir_fd=self._directory)
            os.close(self._directory)

    def _publish(self) -> None:
        if self._force:
            self._replace()
            return
        try:
            self._link(self._name)
        except FileExistsError as error:
            raise OutputExists(errno.EEXIST, os.strerror(errno.EEXIST), self._path) from error

    def _replace(self) -> None:
        if self._temporary is None:
            name = f"{self._prefix}{os.urandom(6).hex()}.part"
            self._link(name)
            self._temporary = name
        at = self._directory
        os.replace(self._temporary, self._name, src_dir_fd=at, dst_dir_fd=at)
        self._temporary = None

    def _link(self, name: str) -> None:
        """Gives the file the name `name`, which must not exist."""
        if self._temporary is None:
            os.link(self._nameless, name, dst_dir_fd=self._directory)
            return
        try:
            at = self._directory
            os.link(self._temporary, name, src_dir_fd=at, dst_dir_fd=at)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            check_output(self._path)
            self._replace()


def _is_file_or_new(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _open_stream(path: str) -> int:
    """Opens a FIFO, which waits for its reader, or a device; not a file that took its place."""
    fd = os.open(path, _WRITING)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OutputUnsuitable(f"{path}: became a regular file")
    return fd
