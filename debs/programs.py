"""Runs programs of a private root folder with that folder's own libraries."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from .errors import Unavailable

PT_INTERP = 3


def command(root: Path, program: str) -> list[str]:
    """Returns the start of an argument list that runs `root/program` with the root's loader.

    Needs neither root nor a chroot. A program that uses `/proc/self/exe` to find its data
    finds the loader instead. Pass such a program its folders (QEMU: `-L root/usr/share/qemu`).

    Raises Unavailable if the program or its loader is not in `root`.
    """
    path = inside(root, program)
    loader = inside(root, _interpreter(path))
    libraries = ":".join(str(folder) for folder in _library_folders(loader.parent))
    return [str(loader), "--library-path", libraries, "--argv0", str(path), str(path)]


def inside(root: Path, name: str) -> Path:
    """Returns the path of `name` with `root` as `/`, its links resolved within `root`.

    Raises Unavailable if there is none.
    """
    parts = [*reversed(Path(name).parts)]
    path = root
    for _ in range(256):
        if not parts:
            break
        part = parts.pop()
        if part == "/":
            path = root
        elif part == "..":
            path = path.parent if path != root else root
        elif (path / part).is_symlink():
            parts.extend(reversed(Path(os.readlink(path / part)).parts))
        else:
            path = path / part
    if parts or not path.exists():
        remedy = "Clear the cache (vmcoredd cache clear) and try again"
        raise Unavailable(name, f"it is not in {root}", remedy)
    return path


def _interpreter(program: Path) -> str:
    """Returns the loader that an ELF64 program requests (its PT_INTERP segment)."""
    with program.open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02" or len(header) < 64:
            raise Unavailable(str(program), "it is not a 64-bit ELF program", "Start it directly")
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(offset + index * size)
            kind, _, start, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == PT_INTERP and length < 4096:
                file.seek(start)
                return file.read(length).rstrip(b"\0").decode()
    raise Unavailable(str(program), "it is statically linked", "Start it directly")


def _library_folders(first: Path) -> list[Path]:
    """Returns the loader's folder and its subfolders with libraries; it reads no ld.so.conf."""
    return [
        first,
        *sorted(
            folder
            for folder in first.iterdir()
            if folder.is_dir() and any(folder.glob("lib*.so.*"))
        ),
    ]
