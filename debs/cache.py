"""The project's cache folder, and folders in it that are either complete or not there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how far it is (0 to 1, or None where nobody can tell)."""


def cache_dir() -> Path:
    """The user's cache folder of this project: `vmcoredd` in `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vmcoredd"


def silent(_what: str, _fraction: float | None) -> None:
    """The progress callback of those who do not want one."""


@contextlib.contextmanager
def locked(path: Path, progress: Progress = silent) -> Iterator[int]:
    """Hold the lock file `path`; it ends with the process, however that ends. Gives its descriptor.

    A child that inherits the descriptor holds the lock with us, so that it cannot work on behind
    our back.
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
    """`target`, built if it is not there. Returns `target`.

    `build(work, lock)` fills `work/result`; only when it returned does that become `target`, in
    one rename. What a killed process left in `work` stays for the next attempt to use. `lock` is
    for children to inherit.
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
