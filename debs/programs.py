"""Runs programs of a private root folder with that folder's own libraries."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .cache import Progress, silent
from .errors import Unavailable
from .mirrors import codename
from .packages import binaries

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


def settle(root: Path, place: Path, patterns: Iterable[str], progress: Progress = silent) -> None:
    """Makes the programs of a root folder run by themselves, with its own loader and libraries.

    The folder is moved to `place` afterwards, and is not to be moved again. `patterns`: where the
    programs are, as for `Path.glob`; other files are left alone. Programs are replaced, so that
    they may be links to those of another root.

    Raises Unavailable.
    """
    tool = binaries(["patchelf"], suites=(codename(),), name="patchelf", progress=progress)
    patchelf = command(tool, "usr/bin/patchelf")
    for path in sorted({found for pattern in patterns for found in root.glob(pattern)}):
        if path.is_symlink() or not path.is_file() or not (named := _interpreter_if_any(path)):
            continue
        loader = inside(root, named)
        folders = [str(place / one.relative_to(root)) for one in _library_folders(loader.parent)]
        there = ["--set-interpreter", str(place / loader.relative_to(root))]
        new = path.with_name(f".{path.name}.new")
        done = subprocess.run(
            [*patchelf, *there, "--set-rpath", ":".join(folders), "--output", str(new), str(path)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Unavailable(str(path), done.stderr.strip(), "Clear the cache and try again")
        shutil.copymode(path, new)
        new.replace(path)


def _interpreter_if_any(path: Path) -> str:
    try:
        return _interpreter(path)
    except Unavailable:
        return ""


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
