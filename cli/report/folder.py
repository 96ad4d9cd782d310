"""An output folder that appears under its name only when it is complete.

It is filled under a temporary name beside it, which is removed after any failure except a kill.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from vmcoredd.vmcore import OutputExists, OutputUnsuitable

MARKS = ("index.html", "findings.json")
"""What a report holds: only such a folder, or an empty one, is replaced."""


def check_folder(path: Path, *, force: bool) -> None:
    """Checks that a folder can be made at `path`.

    With `force`, a report or an empty folder there may be replaced. Raises OutputUnsuitable if it
    is anything else; without `force`, OutputExists if there is anything; FileNotFoundError if its
    parent is missing.
    """
    if not os.path.lexists(path):
        os.stat(path.absolute().parent)
        return
    if not force:
        raise OutputExists(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    if path.is_symlink() or not path.is_dir():
        raise OutputUnsuitable(f"{path}: not a folder")
    held = os.listdir(path)
    if held and not set(MARKS) <= set(held):
        raise OutputUnsuitable(f"{path}: a folder that is not a report, which is not replaced")


@contextmanager
def new_folder(path: Path, *, force: bool) -> Iterator[Path]:
    """Yields a private folder to fill, which gets the name `path` at a normal exit."""
    check_folder(path, force=force)
    target = path.absolute()
    work = Path(
        tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:200]}.", suffix=".part")
    )
    try:
        yield work
        _publish(work, target, path, force)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _publish(work: Path, target: Path, path: Path, force: bool) -> None:
    check_folder(path, force=force)
    if not target.exists():
        os.rename(work, target)
        return
    old = work.with_suffix(".old")
    os.rename(target, old)
    os.rename(work, target)
    shutil.rmtree(old, ignore_errors=True)


def write_private(path: Path, text: str) -> None:
    """Writes a new file that only its owner can read: what a dump holds is private."""
    with private_file(path) as file:
        file.write(text)


def private_file(path: Path) -> TextIO:
    """Opens a new file that only its owner can read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace")
