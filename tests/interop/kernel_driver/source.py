"""Unpacks the parts of the distribution's kernel source that a build of the driver needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import build_once, silent
from vmcoredd.qemu import kernel

VARIABLE = "VMCOREDD_KERNEL_SOURCE"
#: The files and folders that a build reads.
PARTS = (
    "Makefile",
    "include",
    "arch/um",
    "arch/x86/include",
    "arch/x86/um",
    "arch/x86/entry/syscalls",
    "kernel/bounds.c",
    "lib",
    "drivers/pci",
    "drivers/net/ethernet/chelsio",
)


def cache() -> Path:
    """The folder in which sources and libraries are kept."""
    return debs.cache_dir() / "kernel-driver"


def kernel_source(name: str = kernel.DEFAULT_KERNEL, progress: debs.Progress = silent) -> Path:
    """Returns an unpacked source of kernel `name` (6.1, 6.12), or $VMCOREDD_KERNEL_SOURCE.

    Guests are built from the same package. The first call downloads it (140 MB) and unpacks it
    (15 seconds). Raises debs.Unavailable.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    found = kernel.kernel_source(name, progress)

    def unpack(work: Path, lock: int) -> None:
        progress("unpacking the driver's source", None)
        parts = [f"{found.archive.name.removesuffix('.tar.xz')}/{part}" for part in PARTS]
        command = ["tar", "-xJf", str(found.archive), "--strip-components=1", *parts]
        subprocess.run(command, cwd=work / "result", check=True, pass_fds=(lock,))

    return build_once(cache() / f"source-{found.version}", unpack, progress)
