"""libvfio-user as a static library, for the extension that links it and for its own sample servers.

Debian does not package it, but the source package of QEMU carries its whole source. It is looked
for in this order:

1. the folder `$LIBVFIO_USER_PREFIX` (`include/` and `lib*/libvfio-user.a` below it);
2. the prefix that pkg-config names;
3. QEMU's source package, compiled here in a few seconds with the C compiler alone.

Its one dependency, json-c, is taken from the system if its development files are installed, else
from the Debian package, unpacked in the cache folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cache import Progress, build_once, cache_dir, silent
from .errors import Unavailable
from .mirrors import codename
from .packages import binaries, manifest, source

SUITES = ("trixie", "forky")
FOLDER = "subprojects/libvfio-user"
WRAP = "subprojects/libvfio-user.wrap"
CFLAGS = ("-O2", "-g", "-fPIC", "-std=gnu99", "-D_GNU_SOURCE", "-fvisibility=hidden", "-w")
REMEDY = (
    "Set LIBVFIO_USER_PREFIX to a folder with include/libvfio-user.h and lib/libvfio-user.a, "
    "or make a Debian mirror reachable, and build again"
)


@dataclass(frozen=True)
class Library:
    """What a compiler needs to link libvfio-user, and what people want to know of it."""

    include_dirs: tuple[Path, ...]
    archives: tuple[Path, ...]
    version: str  # upstream's, as far as it is known
    origin: str  # the Debian source package and its version, or the prefix
    source: Path | None = None  # the source tree, where there is one


def obtain(flags: Sequence[str] = (), progress: Progress = silent) -> Library:
    """The library, built if need be; `flags` (sanitizers) are for the compiler.

    Raises Unavailable.
    """
    given = os.environ.get("LIBVFIO_USER_PREFIX") or _pkg_config("--variable=prefix")
    if given:
        return _from_prefix(Path(given), progress)
    return _from_debian(tuple(flags), progress)


def sample(library: Library, name: str, progress: Progress = silent) -> Path:
    """The program `samples/<name>.c` of the library's source, built. Raises Unavailable."""
    if library.source is None:
        raise Unavailable(f"the sample {name}", f"{library.origin} has no source", REMEDY)
    tree = library.source
    key = _key("sample", name, library.archives)
    build = functools.partial(_build_sample, library, tree, name)
    return build_once(cache_dir() / "libvfio-user" / f"{name}-{key}", build, progress) / name


def _from_prefix(prefix: Path, progress: Progress) -> Library:
    archives = sorted(prefix.glob("lib*/libvfio-user.a")) + sorted(
        prefix.glob("lib*/*/libvfio-user.a")
    )
    if not archives or not (prefix / "include/libvfio-user.h").exists():
        raise Unavailable(f"libvfio-user in {prefix}", "it has no static library there", REMEDY)
    headers, json_c = _json_c(progress)
    version = _pkg_config("--modversion") or "unknown"
    return Library((prefix / "include", headers), (archives[0], json_c), version, str(prefix))


def _from_debian(flags: tuple[str, ...], progress: Progress) -> Library:
    root = source("qemu", suites=SUITES, only=[FOLDER, WRAP], progress=progress)
    tree = root / FOLDER
    headers, json_c = _json_c(progress)
    key = _key("library", root, headers, flags)
    build = functools.partial(_build, tree, headers, flags)
    built = build_once(cache_dir() / "libvfio-user" / f"lib-{key}", build, progress)
    return Library(
        (tree / "include", headers),
        (built / "libvfio-user.a", json_c),
        _version(tree, root / WRAP),
        f"Debian qemu {manifest(root)['qemu']}",
        tree,
    )


def _version(tree: Path, wrap: Path) -> str:
    """The project's version and the commit that QEMU took, such as `0.0.1 (0b28d205572c)`."""
    version = re.search(r"version: '([^']+)'", (tree / "meson.build").read_text())
    commit = re.search(r"(?m)^revision = (\w{12})", wrap.read_text())
    return f"{version[1] if version else 'unknown'} ({commit[1] if commit else 'unknown'})"


def _build(tree: Path, headers: Path, flags: tuple[str, ...], work: Path, _lock: int) -> None:
    """Compile lib/*.c as its meson.build does, without tests and without the pipe transport."""
    sources = [file for file in sorted((tree / "lib").glob("*.c")) if file.name != "tran_pipe.c"]
    includes = [f"-I{tree / 'include'}", f"-I{headers}"]
    _run([*_compiler(), *CFLAGS, *flags, *includes, "-c", *map(str, sources)], work / "result")
    objects = [f"{file.stem}.o" for file in sources]
    _run(["ar", "rcs", "libvfio-user.a", *objects], work / "result")


def _build_sample(library: Library, tree: Path, name: str, work: Path, _lock: int) -> None:
    includes = [f"-I{folder}" for folder in (*library.include_dirs, tree / "lib")]
    archives = [str(archive) for archive in library.archives]
    file = str(tree / "samples" / f"{name}.c")
    _run([*_compiler(), *CFLAGS, *includes, "-o", name, file, *archives], work / "result")


def _json_c(progress: Progress) -> tuple[Path, Path]:
    """The folder with json.h, and the static library: both of this machine's own suite."""
    archive = Path(_run([*_compiler(), "-print-file-name=libjson-c.a"]).strip())
    for headers in (Path("/usr/include/json-c"), Path("/usr/local/include/json-c")):
        if archive.is_absolute() and (headers / "json.h").exists():
            return headers, archive
    root = binaries(
        ["libjson-c-dev"],
        suites=[codename()],
        name="json-c",
        dependencies=False,
        progress=progress,
    )
    return root / "usr/include/json-c", next(root.glob("usr/lib/*/libjson-c.a"))


def _pkg_config(question: str) -> str:
    try:
        done = subprocess.run(
            ["pkg-config", question, "libvfio-user"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _run(command: list[str], cwd: Path | None = None) -> str:
    """What a compiler's program printed. Raises Unavailable with its complaint."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(command[0], "it is not installed", "Install gcc and binutils") from error
    if done.returncode:
        raise Unavailable(f"{command[0]} {command[-1]}", done.stderr.strip(), REMEDY)
    return done.stdout


def _key(*inputs: object) -> str:
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]
