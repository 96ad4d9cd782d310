"""The kernels a guest can run: Debian's own source packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import debs
from debs.cache import silent

from .errors import GuestError


@dataclass(frozen=True)
class Source:
    """A kernel's source as Debian packs it: one archive in a binary package."""

    name: str
    version: str
    archive: Path


SUITES = {
    "6.1": ("bookworm",),
    "6.12": ("trixie",),
}
DEFAULT = "6.1"


def source(name: str = DEFAULT, progress: debs.Progress = silent) -> Source:
    """The source of kernel `name` (a key of SUITES), downloaded once and kept in the cache.

    Raises debs.Unavailable, and GuestError for a name that is not known.
    """
    if name not in SUITES:
        raise GuestError(f"no kernel {name!r}: there are {', '.join(SUITES)}")
    package = f"linux-source-{name}"
    root = debs.binaries(
        [package], suites=SUITES[name], name=package, dependencies=False, progress=progress
    )
    archive = debs.inside(root, f"usr/src/{package}.tar.xz")
    return Source(name, debs.manifest(root)[package], archive)
