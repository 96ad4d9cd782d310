"""The files in what the user names: folders are searched, and links to folders not followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vmcoredd.fleet.archive.store import is_archive

_HEAD_BYTES = 512
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\x1b")
"""What no text has."""


class Source(NamedTuple):
    """A file to read; `skipped` says why it is not read, if it is not."""

    path: Path
    skipped: str = ""


def sources(paths: Iterable[Path], on_error: Callable[[OSError], None]) -> Iterator[Source]:
    """Yields each file that is named, and each in the folders that are named, in no order.

    Of folders, archives and links to folders are left aside; of files, what is neither a regular
    file nor a link to one, and texts, since kdump writes one beside each vmcore. Folders that
    cannot be read are reported to `on_error`. Keeps only the paths of folders still to be read.
    """
    for path in paths:
        if path.is_dir():
            yield from _below(path, on_error)
        else:
            yield Source(path)


def _below(top: Path, on_error: Callable[[OSError], None]) -> Iterator[Source]:
    folders = [top]
    while folders:
        folder = folders.pop()
        if is_archive(folder):
            yield Source(folder, "an archive")
            continue
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(folder / entry.name)
                    else:
                        yield _source(folder / entry.name, on_error)
        except OSError as error:
            on_error(error)


def _source(path: Path, on_error: Callable[[OSError], None]) -> Source:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return Source(path, "a link that leads nowhere")
    if stat.S_ISDIR(mode):
        return Source(path, "a link to a folder")
    if not stat.S_ISREG(mode):
        return Source(path, "no regular file")
    try:
        return Source(path, "a text" * is_text(path))
    except OSError as error:
        on_error(error)
        return Source(path, "not readable")


def is_text(path: Path) -> bool:
    """Returns whether a file begins as a text does."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return bool(head) and head.translate(None, _CONTROLS) == head and _is_utf8(head)


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and len(head) == _HEAD_BYTES  # cut in a letter
    return True
