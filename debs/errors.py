"""The errors of this package."""

from __future__ import annotations

import importlib.util
import shlex
import sys


class Unavailable(Exception):
    """This machine lacks something; the message names it, the reason, and the user's remedy."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why}. {remedy}")
        self.what = what
        self.why = why
        self.remedy = remedy


class ModuleMissing(Unavailable):
    """This Python lacks an optional module that `purpose` needs; the remedy is a line to type."""

    def __init__(self, module: str, purpose: str) -> None:
        why = f"this Python does not have it, and {purpose} need it"
        super().__init__(f"the module {module}", why, f"To install it:\n{pip_line(module)}")


_DISTRIBUTIONS = {"_cffi_backend": "cffi", "qemu": "qemu.qmp"}
"""By module, where the names differ."""


def has_module(name: str) -> bool:
    """Returns True if this Python can import the module `name`."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that the module is in
        return False


def pip_line(module: str) -> str:
    """Returns the line that installs `module` for this Python."""
    distribution = _DISTRIBUTIONS.get(module, module)
    return f"{shlex.quote(sys.executable)} -m pip install {distribution}"
