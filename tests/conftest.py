"""What tests of several rooms share. This file also puts `tests/` on the path of imports."""

from __future__ import annotations

import gc
import os

from hypothesis import settings

settings.register_profile("vmcoredd", deadline=None)  # on a busy machine any example may be late
settings.load_profile("vmcoredd")


def pytest_report_header() -> str:
    """Says how much the comparisons with the kernel's own code compare."""
    every = os.environ.get("VMCOREDD_THOROUGH") == "1"
    what = "every combination" if every else "a choice (all: VMCOREDD_THOROUGH=1)"
    return f"dumps beside the kernel's: {what}"


def pytest_collection_finish() -> None:
    """Spares the garbage collector the hundreds of megabytes that live until the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What lives until the end ends in order: some modules print what they take for a leak."""
    gc.unfreeze()
