"""`vmcoredd cache`: lists or removes downloads and builds."""

from __future__ import annotations

import contextlib
import errno
import os
from itertools import chain
from pathlib import Path

import typer

from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, out, size, table

app = typer.Typer(no_args_is_help=True, help="List or remove downloads and builds.")


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="cache")


@app.command("list", epilog="Example: `vmcoredd cache list`")
def list_(json: Json = False) -> None:
    """List the contents of the cache folder with their sizes."""
    from vmcoredd import debs

    folder = debs.cache_dir()
    rows = [(str(path.relative_to(folder)), _size(path)) for path in _entries(folder)]
    if json:
        entries = [{"name": name, "size_bytes": count} for name, count in rows]
        emit_json("cache list", {"folder": str(folder), "entries": entries})
        return
    sizes = [(name, -(-count // 1024)) for name, count in rows]
    table(str(folder), ("entry", "size in KiB"), sizes)
    out.print(f"{size(sum(count for _, count in rows))} in total")


@app.command(epilog="Example: `vmcoredd cache clear`")
def clear(json: Json = False) -> None:
    """Empty the cache folder. Commands repeat the downloads and builds that they need."""
    import shutil

    from vmcoredd import debs

    folder = debs.cache_dir()
    if folder.is_symlink():  # rmtree refuses it too, in other words in each version of Python
        raise OSError(errno.ENOTDIR, "a symbolic link, whose folder stays as it is", str(folder))
    freed = sum(_size(path) for path in _entries(folder))
    if folder.exists():
        shutil.rmtree(folder)
    if json:
        emit_json("cache clear", {"folder": str(folder), "freed_bytes": freed})
        return
    out.print(f"freed {size(freed)} in {folder}", markup=False)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    """Returns the bytes on disk of all files at or below `path`; of those that another process
    removes meanwhile, none."""
    below = () if path.is_symlink() else os.walk(path)
    names = (os.path.join(top, name) for top, *both in below for name in chain(*both))
    return _blocks(path) + sum(map(_blocks, names))


def _blocks(path: Path | str) -> int:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path).st_blocks * 512
    return 0
