"""The tools of a kernel build. Debian supplies missing ones, unpacked in the cache."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs

INSTALLED = {"gcc": "gcc", "ld": "binutils", "make": "make", "tar": "tar", "xz": "xz-utils"}
"""Programs that must be installed, and the Debian package of each."""

PRIVATE = {"flex": "flex", "bison": "bison", "m4": "m4", "bc": "bc"}
"""Programs that can be unpacked privately instead, and the Debian package of each."""

FOREIGN = ("ARCH", "CROSS_COMPILE", "LOCALVERSION", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""Variables of the caller's environment that would change a build."""


@dataclass(frozen=True)
class BuildTools:
    """The environment and the extra `make` arguments of a kernel build."""

    environment: dict[str, str]
    arguments: tuple[str, ...] = ()


def check_installed() -> None:
    """Raises debs.Unavailable if a missing program cannot be unpacked privately."""
    missing = [package for program, package in INSTALLED.items() if not shutil.which(program)]
    if missing:
        why = f"{', '.join(missing)} not installed"
        remedy = f"As root:\napt-get install {' '.join(missing)}"
        raise debs.Unavailable("building a kernel or a module", why, remedy)


def build_environment() -> dict[str, str]:
    """Returns the caller's environment without what would change a build."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment |= {"LC_ALL": "C", "KBUILD_BUILD_USER": "vmcoredd", "KBUILD_BUILD_HOST": "vmcoredd"}
    return environment | {"KBUILD_BUILD_TIMESTAMP": "1970-01-01 00:00:00 UTC"}


def build_tools(folder: Path, progress: debs.Progress = debs.silent) -> BuildTools:
    """Returns the installed tools, and writes wrappers for missing ones into `folder`.

    Raises debs.Unavailable.
    """
    environment = build_environment()
    if all(shutil.which(program) for program in PRIVATE) and _has_libelf():
        return BuildTools(environment)
    return _private(folder, environment, progress)


def _has_libelf() -> bool:
    done = subprocess.run(
        ["gcc", "-x", "c", "-E", "-"], input=b"#include <gelf.h>\n", capture_output=True
    )
    return done.returncode == 0


def _private(folder: Path, environment: dict[str, str], progress: debs.Progress) -> BuildTools:
    """Returns the tools with flex, bison, m4, bc and libelf from the host's own Debian suite,
    unpacked in the cache; wrappers and links to them are written into `folder`."""
    packages = [*PRIVATE.values(), "libelf-dev"]
    root = debs.binaries(
        packages, suites=(debs.codename(),), name="kernel-tools", progress=progress
    )
    for program in PRIVATE:
        _write_wrapper(folder / "bin" / program, debs.command(root, f"usr/bin/{program}"))
    library = _link_libelf(root, folder / "lib")
    environment |= {
        "PATH": f"{folder / 'bin'}:{environment.get('PATH', os.defpath)}",
        "BISON_PKGDATADIR": str(root / "usr/share/bison"),
        "M4": str(folder / "bin" / "m4"),
    }
    return BuildTools(
        environment,
        (
            f"LIBELF_FLAGS=-I{root / 'usr/include'}",
            f"LIBELF_LIBS=-L{library} -Wl,-rpath,{library} -lelf",
        ),
    )


def _write_wrapper(path: Path, command: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


def _link_libelf(root: Path, folder: Path) -> Path:
    """Links libelf alone into a folder: the host's tools must not load the root's others."""
    folder.mkdir(parents=True, exist_ok=True)
    found = next((root / "usr/lib").glob("*-linux-gnu/libelf.so.1")).resolve()
    for name in ("libelf.so", "libelf.so.1"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(found)
    return folder
