"""The project's cache folder, and the folders in it, which are either complete or absent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

Progress = Callable[[str, float | None], None]
"""Called with the current step and its fraction done (0 to 1, or None if unknown)."""


def cache_dir() -> Path:
    """Returns this project's cache folder: `vmcoredd` in `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vmcoredd"


def silent(_what: str, _fraction: float | None) -> None:
    """Does nothing: the callback of those who want no progress."""


@contextlib.contextmanager
def locked(path: Path, progress: Progress = silent) -> Iterator[int]:
    """Holds the lock file `path` and yields its descriptor. The end of the process releases it.

    A child that inherits the descriptor also holds the lock, and so cannot outlive it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that prepares {path.stem}", None)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def build_once(
    target: Path, build: Callable[[Path, int], None], progress: Progress = silent
) -> Path:
    """Builds the folder `target` unless it exists. Returns `target`.

    `build(work, lock)` fills `work/result`, which is renamed to `target` afterwards. Files that a
    killed process left in `work` stay there for the next attempt. Children should inherit `lock`.
    """
    if target.is_dir():
        return target
    work = target.parent / f".{target.name}.work"
    with locked(target.parent / f".{target.name}.lock", progress) as lock:
        if target.is_dir():
            return target
        shutil.rmtree(work / "result", ignore_errors=True)
        (work / "result").mkdir(parents=True)
        build(work, lock)
        (work / "result").rename(target)
        shutil.rmtree(work)
    return target
