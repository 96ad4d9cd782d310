"""A copy of the packages with their C built under the address and behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.checkout import copy_checkout


def build(folder: Path) -> Path:
    """Copies the packages into `folder` and builds their C there."""
    copy_checkout(folder)
    for distribution in (folder, folder / "pyvfio_user"):
        subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
            cwd=distribution,
            env={**os.environ, "VMCOREDD_SANITIZE": "1"},
            check=True,
            capture_output=True,
        )
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Python with the sanitizers' library, which must come first, and the copy before all else."""
    command = ["gcc", "-print-file-name=libasan.so"]
    runtime = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": os.path.realpath(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "PYTHONPATH": f"{folder}:{folder}/pyvfio_user/src",
    }
