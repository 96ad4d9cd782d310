"""Builds a user's kernel module for a guest with one of Debian's kernels.

The headers are Debian's package for exactly that kernel, unpacked in the cache. Their Makefile
names folders in /usr/src, so that the one which it includes is run instead.

A kernel of a newer Debian than the host's needs that one's compiler and C library, of which its
headers' own programs are made: both are unpacked too, and the programs made to use them there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from vmcoredd import debs

from .errors import BuildError, GuestError
from .kernel_config import Config
from .kernel_tools import build_environment, check_installed
from .kernels import STOCK, find_kernel, is_stock
from .stock_kernel import SUITES

BUILT = ("*.o", "*.ko", "*.mod", "*.mod.c", ".*")
"""What builds elsewhere left behind, and hidden files."""
PROGRAMS = ("usr/bin/*-gcc-[0-9]*", "usr/libexec/gcc/*/*/*", "usr/lib/linux-kbuild-*/**/*")
"""What a build of a module runs of such a root folder."""
FORMAT = 1  # of those folders; a new number makes them anew
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
    roots = [*debs.cache_dir().glob(f"debs/{_copy(kernel)}-*")]
    return any(_host_can(root) for root in roots) or any(
        debs.cache_dir().glob(f"guest/{_copy(kernel)}-*")
    )


def _copy(kernel: str) -> str:
    """Returns the start of the name of the headers' folder in the cache."""
    return f"kernel-headers-{kernel.removeprefix(STOCK)}"


def _make(kernel: str, progress: debs.Progress) -> list[str]:
    """Returns the start of a `make` command for modules of that kernel of Debian's."""
    release = find_kernel(kernel, progress).release
    root = find_headers(kernel, progress)
    flavour = root / "usr/src" / f"linux-headers-{release}"
    common = root / "usr/src" / f"linux-headers-{release.rpartition('-')[0]}-common"
    compiler = next((root / "usr/bin").glob(f"*-gcc-{_compiler(root)}"), "gcc")
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    no_btf = "CONFIG_DEBUG_INFO_BTF_MODULES="  # which would need pahole
    given = [f"CC={compiler}", f"KBUILD_OUTPUT={flavour}", no_btf]
    return ["make", jobs, "-C", str(flavour), "-f", str(common / "Makefile"), *given]


def find_headers(kernel: str, progress: debs.Progress = debs.silent) -> Path:
    """Returns a root folder with the headers of that kernel of Debian's, downloaded once.

    It has the compiler too if the host's is older than the kernel's. Raises GuestError and
    debs.Unavailable.
    """
    headers = _packages(kernel, "linux-", progress)
    if _host_can(headers):
        return headers
    whole = _packages(kernel, True, progress)
    target = debs.cache_dir() / "guest" / f"{whole.name}-{FORMAT}"

    def build(work: Path, _lock: int) -> None:
        progress("preparing the kernel's compiler", None)
        result = work / "result"
        shutil.copytree(whole, result, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
        debs.settle(result, target, PROGRAMS, progress)

    return debs.build_once(target, build, progress)


def _host_can(headers: Path) -> bool:
    """Returns True if the host's compiler is no older than that of the kernel of these headers."""
    command = ["gcc", "-dumpversion"]
    done = subprocess.run(command, capture_output=True, text=True, env=build_environment())
    mine = done.stdout.partition(".")[0].strip()
    return mine.isdecimal() and int(mine) >= _compiler(headers)


def _compiler(headers: Path) -> int:
    """Returns the version of gcc that built the kernel of these headers, such as 12."""
    (config,) = headers.glob("usr/src/linux-headers-*/.config")
    return int(Config.parse(config.read_text(), str(config)).value("GCC_VERSION")) // 10000


def _packages(kernel: str, dependencies: bool | str, progress: debs.Progress) -> Path:
    release = find_kernel(kernel, progress).release
    try:
        return debs.binaries(
            [f"linux-headers-{release}"],
            suites=SUITES[kernel.removeprefix(STOCK)],
            name=_copy(kernel),
            dependencies=dependencies,
            progress=progress,
        )
    except debs.Unavailable as error:
        newer = "If Debian has a newer kernel by now, `vmcoredd cache clear` lets guests get it"
        remedy = f"{error.remedy}. {newer}"
        raise debs.Unavailable(f"the headers of {release}", error.why, remedy) from error
