"""An output file that appears under its name only when it is complete.

It is written without a name (O_TMPFILE), so even a killed process leaves nothing behind. On file
systems without O_TMPFILE it has a temporary name in the same directory, which is removed after any
failure except a kill. The data are not flushed to disk.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from types import TracebackType

from vmcoredd.vmcore.errors import OutputExists, OutputUnsuitable

MODE = 0o600  # crash memory is private; the same as makedumpfile's
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
_NO_LINK = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}


def check_output(path: str | os.PathLike[str], *, force: bool = False) -> str:
    """Returns the real path of `path` if an output may be written there.

    Raises `OutputExists` (unless `force`), `OutputUnsuitable` if it is not a regular file, and
    `OSError` if the directory does not exist or is not writable.
    """
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputUnsuitable(f"{os.fspath(path)}: not a regular file")
    if mode is not None and not force:
        raise OutputExists(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
    os.stat(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), directory)
    return target


class Output:
    """A context manager that returns a file descriptor; a normal exit publishes the file.

    After an exception an existing file at `path` is unchanged. Raises as `check_output` does, also
    if another process creates the file in the meantime.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        self._path = os.fspath(path)
        self._force = force
        self._directory = -1
        self._fd = -1
        self._temporary: str | None = None

    def __enter__(self) -> int:
        directory, self._name = os.path.split(check_output(self._path, force=self._force))
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._open(directory)
        except BaseException:
            os.close(self._directory)
            raise
        return self._fd

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
