"""Starting a program that lies in a private root folder, with that folder's own libraries."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from .errors import Unavailable

PT_INTERP = 3


def command(root: Path, program: str) -> list[str]:
    """The beginning of an argument list that runs `root/program` with the root's own loader.

    Neither root rights nor a chroot are needed. A program that looks for its data beside its
    executable sees the loader's place (`/proc/self/exe`), so tell such a program where they are
    (QEMU: `-L root/usr/share/qemu`).

    Raises Unavailable when the program or its loader is not in `root`.
    """
    path = inside(root, program)
    loader = inside(root, _interpreter(path))
    libraries = ":".join(str(folder) for folder in _library_folders(loader.parent))
    return [str(loader), "--library-path", libraries, "--argv0", str(path), str(path)]


def inside(root: Path, name: str) -> Path:
    """`name` as it would be seen with `root` as `/`: links are followed without leaving it."""
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
        raise Unavailable(name, f"{root} does not hold it", "Clear the cache and try again")
    return path


def _interpreter(program: Path) -> str:
    """The loader an ELF64 program asks for (its PT_INTERP segment)."""
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
    """The loader's folder and those below it with libraries, which no ld.so.conf names."""
    return [
        first,
        *sorted(
            folder
            for folder in first.iterdir()
            if folder.is_dir() and any(folder.glob("lib*.so.*"))
        ),
    ]
