"""A guest's memory as QEMU sees it: an ELF core with the guest's vmcoreinfo, for `--base`.

The guest may run (it stands still meanwhile) or have panicked. QEMU puts the program headers where
makedumpfile does not look for them; `vmcore.write` mends that when it adds device dumps.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import debs
import vmcore
from debs.cache import silent

from .errors import GuestError
from .monitor import Monitor, MonitorTimeout
from .parts import folder_beside

SECONDS_BETWEEN_LOOKS = 0.25


def dump(
    monitor: Monitor | Path,
    output: Path,
    *,
    seconds: float = 600.0,
    force: bool = False,
    progress: debs.Progress = silent,
) -> None:
    """Write the memory of the guest behind `monitor` (or behind its socket's path) to `output`.

    Raises MonitorError, GuestError; vmcore.OutputExists and its kin for an unfit `output`.
    """
    if isinstance(monitor, Path):
        with Monitor(monitor) as session:
            return dump(session, output, seconds=seconds, force=force, progress=progress)
    target = Path(vmcore.check_output(output, force=force))
    with folder_beside(target) as folder:
        part = folder / "memory"
        arguments = {"paging": False, "protocol": f"file:{part}", "detach": True}
        monitor.execute("dump-guest-memory", arguments)
        _wait(monitor, seconds, progress)
        vmcore.check_output(target, force=force)
        os.replace(part, target)
    return None


def _wait(monitor: Monitor, seconds: float, progress: debs.Progress) -> None:
    doing = "QEMU writes the guest's memory"
    deadline = time.monotonic() + seconds
    while monitor.event("DUMP_COMPLETED", SECONDS_BETWEEN_LOOKS) is None:
        state = monitor.execute("query-dump")
        progress(doing, state["completed"] / max(state["total"], 1))
        if time.monotonic() > deadline:
            raise MonitorTimeout(f"QEMU did not write the guest's memory within {seconds:g} s")
    state = monitor.execute("query-dump")
    if state["status"] != "completed":
        raise GuestError(f"QEMU could not write the guest's memory: {state['status']}")
    progress(doing, 1.0)
