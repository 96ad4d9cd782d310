"""This Python and this package in a guest: what of the host they need, and how they are run."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pyvfio_user
import vmcoredd

from .root import USR

PACKAGES = tuple(
    Path(package.__file__ or "").resolve().parents[1] for package in (vmcoredd, pyvfio_user)
)
"""The folders in which Python finds them."""


def folders() -> list[Path]:
    """Returns the host's folders that a guest needs: /usr, Python's, and this package's."""
    places = [USR, *(Path(name).resolve() for name in (sys.base_prefix, sys.prefix)), *PACKAGES]
    return [
        place
        for place in dict.fromkeys(places)
        if not any(place != other and place.is_relative_to(other) for other in places)
    ]


def python(*words: object) -> str:
    """Returns the line of shell that runs this Python with `words` in a guest."""
    path = shlex.quote(os.pathsep.join(map(str, PACKAGES)))
    program = shlex.join([sys.executable, *map(str, words)])
    return f"PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 {program}"


def command(*words: object) -> str:
    """Returns the line of shell that runs the command `vmcoredd` with `words` in a guest."""
    return python("-m", "vmcoredd", *words)
