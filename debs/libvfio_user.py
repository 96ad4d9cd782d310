"""libvfio-user as a static library, for the extension that links it and for its own sample servers.

It is compiled here, in a few seconds with the C compiler alone, because the extension also needs
its private headers. An installed library has none, so neither a prefix nor pkg-config helps. The
source tree comes from

1. the folder `$LIBVFIO_USER_PREFIX`, a checkout of libvfio-user or a copy of what 2 unpacks;
2. Debian's source package of QEMU, which includes all of it (Debian does not package it).

The library takes 16 DMA regions, too few for a guest with many memory devices. Its number is an
unguarded `#define`, so what is compiled is a copy of its folder `lib` with another number.

Its one dependency, json-c, comes from the system if its development files are installed, else from
the Debian package, unpacked in the cache folder. It is linked statically, or, if
`$LIBVFIO_USER_JSON_C` is `shared`, as the system's library.

`$CPPFLAGS` and `$CFLAGS` are for the library too, as setuptools uses them for the extension.
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
from .packages import MANIFEST, binaries, manifest, source

SUITES = ("trixie", "forky")
FOLDER = "subprojects/libvfio-user"
WRAP = "subprojects/libvfio-user.wrap"
CFLAGS = ("-O2", "-g", "-fPIC", "-std=gnu99", "-D_GNU_SOURCE", "-fvisibility=hidden", "-w")
DMA_REGIONS = 512
"""DMA regions that a client may map. Each holds a descriptor: a process may have 1024 of them."""
DMA_DEFINE = re.compile(r"(?m)^#define MAX_DMA_REGIONS +\d+$")
"""The number in lib/private.h. Since 2026 a library has none and gets it from its user."""
PRIVATE = "lib/tran.h"
"""The header of `struct transport_ops`, which no installation has."""
REMEDY = (
    f"Set LIBVFIO_USER_PREFIX to a source tree of libvfio-user (a folder with {PRIVATE}; an "
    "installed library is not enough), or make a Debian mirror reachable, and build again"
)


@dataclass(frozen=True)
class Library:
    """The paths that a compiler needs to link libvfio-user, and the origin of its source."""

    include_dirs: tuple[Path, ...]
    archives: tuple[Path, ...]
    version: str  # upstream's, as far as known
    origin: str  # the Debian source package and its version, or the folder
    source: Path  # the source tree
    lib: Path  # what was compiled: the source tree's folder `lib`, for more DMA regions

    @property
    def private_include_dirs(self) -> tuple[Path, ...]:
        """The folders with the library's public and private headers."""
        return (*self.include_dirs, self.lib)


def obtain(flags: Sequence[str] = (), progress: Progress = silent) -> Library:
    """Builds the library if necessary; `flags` (sanitizers) are for the compiler.

    Raises Unavailable.
    """
    variables = (os.environ.get(name, "") for name in ("CPPFLAGS", "CFLAGS"))
    all_flags = (*shlex.split(" ".join(variables)), *flags)
    given = os.environ.get("LIBVFIO_USER_PREFIX")
    if given:
        return _from_folder(Path(given), all_flags, progress)
    root = unpack_source(progress)
    return _built(root / FOLDER, *_debians(root), root, all_flags, progress)


def unpack_source(progress: Progress = silent) -> Path:
    """Returns a folder with what is needed of Debian's source of QEMU. Raises Unavailable."""
    return source("qemu", suites=SUITES, only=[FOLDER, WRAP], progress=progress)


def sample(library: Library, name: str, progress: Progress = silent) -> Path:
    """Builds the program `samples/<name>.c` of the library's source. Raises Unavailable."""
    key = _key("sample", name, library.archives)
    build = functools.partial(_build_sample, library, name)
    return build_once(cache_dir() / "libvfio-user" / f"{name}-{key}", build, progress) / name


def _from_folder(given: Path, flags: tuple[str, ...], progress: Progress) -> Library:
    copied = (given / MANIFEST).exists()
    tree = given / FOLDER if copied else given
    if not (tree / PRIVATE).exists():
        raise Unavailable(f"libvfio-user in {tree}", f"it has no {PRIVATE}", REMEDY)
    text = [file.read_bytes() for file in sorted(tree.glob("lib/*.[ch]"))]
    version, origin = _debians(given) if copied else (_upstream(tree), str(tree))
    return _built(tree.resolve(), version, origin, text, flags, progress)


def _debians(root: Path) -> tuple[str, str]:
    """Returns version and origin of what `unpack_source` unpacked."""
    version = f"{_upstream(root / FOLDER)} ({_commit(root / WRAP)})"
    return version, f"Debian qemu {manifest(root)['qemu']}"


def _built(
    tree: Path,
    version: str,
    origin: str,
    identity: object,
    flags: tuple[str, ...],
    progress: Progress,
) -> Library:
    """Returns the library in `tree`, compiled once for each `identity` of the source."""
    headers, json_c = _json_c(progress)
    key = _key("library", identity, headers, flags, DMA_REGIONS)
    build = functools.partial(_build, tree, headers, flags)
    folder = build_once(cache_dir() / "libvfio-user" / f"lib-{key}", build, progress)
    archives = (folder / "libvfio-user.a", json_c)
    return Library((tree / "include", headers), archives, version, origin, tree, folder / "lib")


def _upstream(tree: Path) -> str:
    """Returns the project's version, such as `0.0.1`."""
    version = re.search(r"version: '([^']+)'", (tree / "meson.build").read_text())
    return version[1] if version else "unknown"


def _commit(wrap: Path) -> str:
    """Returns the commit that QEMU includes, such as `0b28d205572c`."""
    commit = re.search(r"(?m)^revision = (\w{12})", wrap.read_text())
    return commit[1] if commit else "unknown"


def _build(tree: Path, headers: Path, flags: tuple[str, ...], work: Path, _lock: int) -> None:
    """Compiles lib/*.c as its meson.build does, without tests and without the pipe transport."""
    lib = _copy_for_more_dma_regions(tree / "lib", work / "result" / "lib")
    sources = [file for file in sorted(lib.glob("*.c")) if file.name != "tran_pipe.c"]
    includes = [f"-I{tree / 'include'}", f"-I{headers}"]
    _run([*_compiler(), *CFLAGS, *flags, *includes, "-c", *map(str, sources)], work / "result")
    objects = [f"{file.stem}.o" for file in sources]
    _run(["ar", "rcs", "libvfio-user.a", *objects], work / "result")


def _copy_for_more_dma_regions(lib: Path, copy: Path) -> Path:
    """Copies the library's code and returns the copy. Raises Unavailable if its number is hidden.

    server.c checks the number that the compiler saw.
    """
    copy.mkdir()
    found = 0
    for file in sorted(lib.glob("*.[ch]")):
        text = file.read_text()
        changed, count = DMA_DEFINE.subn(f"#define MAX_DMA_REGIONS {DMA_REGIONS}", text)
        (copy / file.name).write_text(changed)
        found += count
    if not found and any("MAX_DMA_REGIONS" in file.read_text() for file in copy.iterdir()):
        raise Unavailable(f"libvfio-user in {lib}", "no #define of MAX_DMA_REGIONS found", REMEDY)
    return copy


def _build_sample(library: Library, name: str, work: Path, _lock: int) -> None:
    includes = [f"-I{folder}" for folder in library.private_include_dirs]
    archives = [str(archive) for archive in library.archives]
    file = str(library.source / "samples" / f"{name}.c")
    _run([*_compiler(), *CFLAGS, *includes, "-o", name, file, *archives], work / "result")


def _json_c(progress: Progress) -> tuple[Path, Path]:
    """Returns json.h's folder and the library, both from this machine's suite."""
    shared = os.environ.get("LIBVFIO_USER_JSON_C") == "shared"
    name = "libjson-c.so" if shared else "libjson-c.a"
    archive = Path(_run([*_compiler(), f"-print-file-name={name}"]).strip())
    for headers in (Path("/usr/include/json-c"), Path("/usr/local/include/json-c")):
        if archive.is_absolute() and (headers / "json.h").exists():
            return headers, archive
    if shared:
        raise Unavailable(name, "it is not installed", "As root: apt-get install libjson-c-dev")
    root = binaries(
        ["libjson-c-dev"],
        suites=[codename()],
        name="json-c",
        dependencies=False,
        progress=progress,
    )
    return root / "usr/include/json-c", next(root.glob("usr/lib/*/libjson-c.a"))


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _run(command: list[str], cwd: Path | None = None) -> str:
    """Runs a compiler or archiver and returns its output. Raises Unavailable with its errors."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(command[0], "it is not installed", "Install gcc and binutils") from error
    if done.returncode:
        raise Unavailable(f"{command[0]} {command[-1]}", done.stderr.strip(), REMEDY)
    return done.stdout


def _key(*inputs: object) -> str:
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]
