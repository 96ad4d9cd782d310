"""A guest's memory as QEMU sees it: an ELF core with the guest's vmcoreinfo, for `--base`.

The guest may run (it stands still meanwhile) or have panicked. QEMU puts the program headers where
makedumpfile does not look for them; `vmcore.write` mends that when it adds device dumps.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from pathlib import Path

from vmcoredd import debs, vmcore
from vmcoredd.debs.cache import silent

from .errors import GuestError
from .monitor import Monitor, MonitorTimeout

CHUNK = 1 << 20
HOLE = 1 << 16  # zeros of this size become a hole in the file
DOING = "QEMU writes the guest's memory"


def dump(
    monitor: Monitor | Path,
    output: Path,
    *,
    seconds: float = 600.0,
    force: bool = False,
    progress: debs.Progress = silent,
) -> None:
    """Write the memory of the guest behind `monitor` (or behind its socket's path) to `output`.

    QEMU writes into a pipe, and zeros become holes.

    Raises MonitorError, GuestError; vmcore.OutputExists and its kin for an unfit `output`.
    """
    if isinstance(monitor, Path):
        with contextlib.closing(Monitor(monitor)) as session:
            return dump(session, output, seconds=seconds, force=force, progress=progress)
    deadline = time.monotonic() + seconds
    with vmcore.Output(output, force=force) as out:
        pipe = _begin(monitor)
        try:
            size = _copy(pipe, out, monitor.execute("query-dump")["total"], deadline, progress)
        finally:
            os.close(pipe)
        os.ftruncate(out, size)
        _check_completed(monitor)
    return None


def _begin(monitor: Monitor) -> int:
    """Let QEMU write; the end of the pipe to read from."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK)
        monitor.give_descriptor("memory", writer)
        monitor.execute(
            "dump-guest-memory", {"paging": False, "protocol": "fd:memory", "detach": True}
        )
    except GuestError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return reader


def _copy(pipe: int, out: int, total: int, deadline: float, progress: debs.Progress) -> int:
    """All that comes through the pipe; how many bytes that were."""
    size = 0
    while True:
        if not select.select([pipe], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise MonitorTimeout(f"{DOING}: not done in time, {size} bytes so far")
        data = os.read(pipe, CHUNK)
        if not data:
            return size
        _put_sparse(out, data, size)
        size += len(data)
        progress(DOING, min(size / max(total, 1), 1.0))


def _put_sparse(out: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    for at in range(0, len(data), HOLE):
        piece = view[at : at + HOLE]
        if piece != ZEROS[: len(piece)]:
            os.pwrite(out, piece, offset + at)


ZEROS = memoryview(bytes(HOLE))


def _check_completed(monitor: Monitor) -> None:
    """QEMU closes the pipe when it is done, and also when it failed."""
    if monitor.event("DUMP_COMPLETED", 30.0) is None:
        raise MonitorTimeout(f"{DOING}: it does not say that it is done")
    state = monitor.execute("query-dump")
    if state["status"] != "completed":
        raise GuestError(f"{DOING}: it failed ({state['status']})")
