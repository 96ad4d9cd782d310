"""KVM where it is proved to work, else QEMU's own translator (TCG).

/dev/kvm may be there and open, and yet no guest get anywhere (nested virtualisation). So a guest
has to start under it within a deadline; the verdict holds until this machine is booted again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from .arguments import Machine
from .errors import RunError
from .guest import Guest
from .kernel import Kernel
from .machine import Qemu

DEVICE = Path("/dev/kvm")
SECONDS_TO_START = 10.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def accelerator(
    qemu: Qemu, kernel: Kernel, initramfs: Path, progress: debs.Progress = silent
) -> str:
    """`kvm` or `tcg`, as QEMU's -accel takes it."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    key = hashlib.sha256(repr((BOOT_ID.read_text(), qemu.command)).encode()).hexdigest()[:12]
    verdict = debs.cache_dir() / "guest" / f"accelerator-{key}"
    if not verdict.exists():
        progress("trying whether KVM starts a guest", None)
        machine = Machine(kernel.image, initramfs, accelerator="kvm")
        verdict.write_text("kvm" if starts(qemu, machine, SECONDS_TO_START) else "tcg")
    return verdict.read_text()


def starts(qemu: Qemu, machine: Machine, seconds: float) -> bool:
    """Does a guest on `machine` take commands within `seconds`?"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with Guest(qemu, machine, folder, folder / "console.log") as guest:
                guest.wait_for_kernel("first", seconds)
        except RunError:
            return False
    return True
