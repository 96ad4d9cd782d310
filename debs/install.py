"""Installs packages to build or test: `python3 -m vmcoredd.debs.install build|test`.

`kernel` and `browser` are parts of `test`: what builds a guest's kernel, what opens a report.

Each need is a probe (for a command, a C header, a Python module). Only a probe that fails names a
Debian package; if none fails, the package manager is not used. Packages are installed as root or
through sudo. Without either, prints the command to run; the exit code is then 1.

Runs on a bare python3: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

Probe = Callable[[], bool]


def command(name: str) -> Probe:
    """Returns a probe: whether a program of that name is installed."""
    return lambda: (
        shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None
    )


def header(name: str) -> Probe:
    """Returns a probe: whether that C header is in the system's include folders."""
    folders = (Path("/usr/include"), *Path("/usr/include").glob("*-linux-gnu"))
    return lambda: any((folder / name).exists() for folder in folders)


def module(name: str) -> Probe:
    """Returns a probe: whether this Python can import that module."""
    return lambda: importlib.util.find_spec(name) is not None


def python_header() -> bool:
    """Returns True if extensions can be compiled for this Python."""
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


BUILD: dict[str, Probe] = {
    "gcc": command("gcc"),
    "libc6-dev": header("stdio.h"),
    "binutils": command("readelf"),
    "python3-venv": module("ensurepip"),
    "python3-dev": python_header,
}
KERNEL: dict[str, Probe] = BUILD | {
    "make": command("make"),
    "flex": command("flex"),
    "bison": command("bison"),
    "bc": command("bc"),
    "kmod": command("depmod"),
    "cpio": command("cpio"),
    "xz-utils": command("xz"),
    "libelf-dev": header("libelf.h"),
    "libssl-dev": header("openssl/ssl.h"),
}
BROWSER: dict[str, Probe] = {
    "chromium": command("chromium"),
    "chromium-driver": command("chromedriver"),
}
TEST: dict[str, Probe] = KERNEL | BROWSER | {"zstd": command("zstd")}
PURPOSES = {"build": BUILD, "kernel": KERNEL, "browser": BROWSER, "test": TEST}


def missing(purpose: str) -> list[str]:
    """Returns the Debian packages whose probes fail, for one of `PURPOSES`."""
    return [package for package, probe in PURPOSES[purpose].items() if not probe()]


def main(argv: list[str]) -> int:
    """Installs the missing packages. Returns 0 if nothing is missing afterwards."""
    if len(argv) != 1 or argv[0] not in PURPOSES:
        print(f"usage: python3 -m vmcoredd.debs.install {'|'.join(PURPOSES)}", file=sys.stderr)
        return 2
    packages = missing(argv[0])
    if not packages:
        return 0
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    install = [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if sudo and not shutil.which("sudo"):
        print(f"missing: {' '.join(packages)}\nas root: {' '.join(install[1:])}", file=sys.stderr)
        return 1
    print(f"installing from Debian: {' '.join(packages)}", flush=True)
    quiet = {
        "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        "stdout": subprocess.DEVNULL,
    }
    for step in ([*sudo, "apt-get", "update"], install):
        if (code := subprocess.run(step, check=False, **quiet).returncode) != 0:  # type: ignore[call-overload]
            print(f"failed with exit code {code}: {' '.join(step)}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
