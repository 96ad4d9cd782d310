"""Builds a user's kernel module for a guest with one of Debian's kernels.

The headers are Debian's package for exactly that kernel, unpacked in the cache. Their Makefile
names a folder in /usr/src that it includes, so that one's own is run instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from vmcoredd import debs

from .errors import BuildError, GuestError
from .kernel_tools import build_environment, check_installed
from .kernels import STOCK, find_kernel, is_stock
from .stock_kernel import SUITES

BUILT = ("*.o", "*.ko", "*.mod", "*.mod.c", ".*")
"""What builds elsewhere left behind, and hidden files."""
SECONDS = 300.0
"""A module that is not built by then is given up."""


def build_module(
    source: Path, kernel: str, folder: Path, progress: debs.Progress = debs.silent
) -> list[Path]:
    """Builds the modules of the folder `source`, which has a Kbuild file or a Makefile that kbuild
    can read. Returns their paths, below `folder/source`, a copy: `source` stays as it is.

    `kernel` is the name of one of Debian's (`debian:6.1`): those built here keep no headers.
    Raises GuestError, BuildError with the compiler's last lines, debs.Unavailable.
    """
    if not is_stock(kernel):
        raise GuestError(f"modules need a kernel of Debian's, such as debian:6.1, not {kernel}")
    check_installed()
    work, log = folder / "source", folder / "build.log"
    shutil.copytree(source, work, ignore=shutil.ignore_patterns(*BUILT))
    command = [*_make(kernel, progress), f"M={work}", "modules"]
    code = _logged(command, log)
    modules = sorted(work.rglob("*.ko"))
    if code != 0 or not modules:
        raise BuildError(f"building the module in {source}", log)
    return modules


def _logged(command: list[str], log: Path) -> int | None:
    """Runs a command; returns its exit code, None if it takes too long."""
    with (
        log.open("wb") as output,
        contextlib.suppress(subprocess.TimeoutExpired),
        debs.running(
            command,
            env=build_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        return process.wait(SECONDS)
    return None


def headers_are_cached(kernel: str) -> bool:
    """Returns True if a build for this kernel of Debian's needs no download."""
    return any(debs.cache_dir().glob(f"debs/{_copy(kernel)}-*"))


def _copy(kernel: str) -> str:
    """Returns the start of the name of the headers' folder in the cache."""
    return f"kernel-headers-{kernel.removeprefix(STOCK)}"


def _make(kernel: str, progress: debs.Progress) -> list[str]:
    """Returns the start of a `make` command for modules of that kernel of Debian's."""
    release = find_kernel(kernel, progress).release
    sources = find_headers(kernel, progress) / "usr/src"
    flavour = sources / f"linux-headers-{release}"
    common = sources / f"linux-headers-{release.rpartition('-')[0]}-common"
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    return ["make", jobs, "-C", str(flavour), "-f", str(common / "Makefile"), "CC=gcc"]


def find_headers(kernel: str, progress: debs.Progress = debs.silent) -> Path:
    """Returns a root folder with the headers of that kernel of Debian's, downloaded once.

    Raises GuestError and debs.Unavailable.
    """
    release = find_kernel(kernel, progress).release
    try:
        return debs.binaries(
            [f"linux-headers-{release}"],
            suites=SUITES[kernel.removeprefix(STOCK)],
            name=_copy(kernel),
            dependencies="linux-",
            progress=progress,
        )
    except debs.Unavailable as error:
        newer = "If Debian has a newer kernel by now, `vmcoredd cache clear` lets guests get it"
        remedy = f"{error.remedy}. {newer}"
        raise debs.Unavailable(f"the headers of {release}", error.why, remedy) from error
