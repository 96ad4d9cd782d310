"""The kernels a guest can run: Debian's own source packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from .errors import GuestError

SUITES = {"6.1": "bookworm", "6.12": "trixie", "newest": "trixie-backports"}
DEFAULT = "6.1"


@dataclass(frozen=True)
class Source:
    """A kernel's source as Debian packs it: one archive in a binary package."""

    version: str  # of the package, such as 6.1.176-1
    archive: Path


def source(name: str = DEFAULT, progress: debs.Progress = silent) -> Source:
    """The source of kernel `name` (a key of SUITES), downloaded once and kept in the cache.

    Raises debs.Unavailable, and GuestError for a name that is not known.
    """
    if name not in SUITES:
        raise GuestError(f"no kernel {name!r}: there are {', '.join(SUITES)}")
    suite = SUITES[name]
    if name == "newest":
        name = _newest(suite, progress)
    package = f"linux-source-{name}"
    root = _unpacked(package, suite, progress)
    archive = debs.inside(root, f"usr/src/{package}.tar.xz")
    return Source(debs.manifest(root)[package], archive)


def _newest(suite: str, progress: debs.Progress) -> str:
    """The suite's kernel, such as 7.3: the empty package `linux-source` bears its version."""
    version = debs.manifest(_unpacked("linux-source", suite, progress))["linux-source"]
    return ".".join(version.split(".")[:2])


def _unpacked(package: str, suite: str, progress: debs.Progress) -> Path:
    return debs.binaries(
        [package], suites=(suite,), name=package, dependencies=False, progress=progress
    )
