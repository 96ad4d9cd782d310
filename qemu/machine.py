"""The QEMU that runs guests: the machine's own where it is new enough, else a private one."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from .errors import QemuUnusable

PROGRAM = "qemu-system-x86_64"
DEVICE = "vfio-user-pci"  # since QEMU 10.1
SUITES = ("trixie", "trixie-backports")
SECONDS_TO_ANSWER = 60.0


@dataclass(frozen=True)
class Qemu:
    """A QEMU that has vfio-user-pci: the beginning of its command line, and its version.

    `ends_with_parent`: it can be told to end with the thread that started it.
    """

    command: tuple[str, ...]
    version: str
    ends_with_parent: bool = False


def qemu(progress: debs.Progress = silent) -> Qemu:
    """The machine's QEMU, else one unpacked in the user's cache from Debian's backports.

    Raises QemuUnusable, and debs.Unavailable when the private one cannot be had either.
    """
    installed = shutil.which(PROGRAM)
    if installed:
        try:
            return probe((installed,))
        except QemuUnusable as error:
            progress(f"{error}; taking a private one", None)
    root = debs.binaries(["qemu-system-x86"], suites=SUITES, name="qemu", progress=progress)
    data = [str(root / "usr/share" / name) for name in ("qemu", "seabios")]
    command = debs.command(root, f"usr/bin/{PROGRAM}")
    return probe((*command, *(word for folder in data for word in ("-L", folder))))


def probe(command: tuple[str, ...]) -> Qemu:
    """Ask a QEMU what it can do. Raises QemuUnusable."""
    said = _ask(*command, "--version")
    version = re.search(r"version (\S+)", said)
    if not version:
        raise QemuUnusable(f"{command[-1]} does not tell its version: {said[:200]!r}")
    if f'name "{DEVICE}"' not in _ask(*command, "-device", "help"):
        raise QemuUnusable(f"QEMU {version[1]} has no {DEVICE}: 10.1 or newer is needed")
    ends_with_parent = "exit-with-parent" in _ask(*command, "-run-with", "help", check=False)
    return Qemu(command, version[1], ends_with_parent)


def _ask(*command: str, check: bool = True) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QemuUnusable(f"QEMU does not answer: {error}") from error
    if check and done.returncode:
        raise QemuUnusable(f"QEMU does not start: {done.stderr.strip()[-300:]}")
    return done.stdout
