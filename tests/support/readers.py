"""Programs of Debian's packages that read vmcores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmcoredd import debs

SECONDS = 300
# bookworm's crash does not find the tasks of bookworm's current kernel, nor trixie's those of 7.3;
# trixie's gives up on most running guests with 6.12: "invalid size request: 0", stack contents.
TESTING = "forky"
SUITE = "trixie" if os.environ.get("VMCOREDD_GUEST_KERNEL", "6.1") == "6.1" else TESTING


def _command(program: str) -> list[str]:
    root = debs.binaries(["crash", "makedumpfile"], suites=(SUITE,), name="readers")
    return debs.command(root, f"usr/bin/{program}")


def newest(package: str, program: str) -> tuple[list[str], str]:
    """The command of a program in Debian's testing, and the package with its version."""
    root = debs.binaries([package], suites=(TESTING,), name=package)
    return debs.command(root, f"usr/bin/{program}"), f"{package} {debs.manifest(root)[package]}"


def crash(vmlinux: Path, core: Path, *commands: str, options: Sequence[str] = ()) -> str:
    """The output of crash(8) for `commands`."""
    script = "\n".join([*commands, "quit", ""])
    done = subprocess.run(
        [*_command("crash"), "-s", *options, vmlinux, core],
        input=script,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def makedumpfile(core: Path, output: Path, *options: str) -> None:
    """Filters `core` into `output`."""
    done = subprocess.run(
        [*_command("makedumpfile"), *options, core, output],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def readelf(core: Path, *options: str) -> list[str]:
    """The lines of readelf(1), cut: it prints whole notes in hexadecimal."""
    with subprocess.Popen(["readelf", "-W", *options, core], stdout=subprocess.PIPE) as program:
        cut = ["cut", "-c1-90"]
        done = subprocess.run(cut, stdin=program.stdout, capture_output=True, text=True)
    assert program.returncode == 0
    return done.stdout.splitlines()
