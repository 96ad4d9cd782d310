"""Saves a guest's memory from outside, through QEMU, without kdump.

QEMU writes an ELF core with the guest's vmcoreinfo, which serves as a base for device dumps
(`vmcoredd dump --base`). It places the program headers where makedumpfile does not look for them;
`vmcore.write` corrects that when it adds device dumps.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import select
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vmcoredd import debs, vmcore
from vmcoredd.plural import counted

from .errors import GuestError, GuestTimeout
from .guest import Adapter
from .kdump import DEFAULT_DEADLINES, Deadlines
from .monitor import Monitor, MonitorTimeout
from .prepare import DEFAULTS, Options, Prepared, prepare
from .program import OnPanic

CHUNK = 1 << 20
HOLE = 1 << 16  # zeros of this size become a hole in the file
ZEROS = memoryview(bytes(HOLE))
DOING = "QEMU writes the guest's memory"


def run(
    adapters: Sequence[Adapter],
    base: Path,
    *,
    panic: bool = False,
    driver: bool = False,
    options: Options = DEFAULTS,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    force: bool = False,
    console: Path,
    while_stopped: Callable[[], None] = lambda: None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> None:
    """Boots a guest with `adapters`, stops it, and writes its memory to `base`, an ELF core.

    The guest loads the `driver` first if asked, and then panics if asked. `while_stopped` is called
    after its memory is written. The guest does not access the adapters then, so they can be dumped
    in the emulator. The guest ends afterwards.

    Raises GuestError, debs.Unavailable; vmcore.OutputExists and similar errors for a bad `base`.
    """
    prepared = prepared or prepare(options.kernel, progress, module=options.module, driver=driver)
    options = dataclasses.replace(options, crashkernel="", on_panic=OnPanic.PAUSE)
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as folder,
        prepared.guest(options, Path(folder), console, adapters) as guest,
    ):
        progress("booting the guest", None)
        guest.wait_for_kernel("first", deadlines.boot)
        if driver:
            progress("loading the driver in the guest", None)
            guest.run("load-driver --plain", deadlines.driver * max(len(adapters), 1))
        if panic:
            guest.panic()
            if guest.monitor.event("GUEST_PANICKED", deadlines.boot) is None:
                raise GuestTimeout("the guest to panic", deadlines.boot, console)
        guest.monitor.execute("stop")
        dump_memory(guest.monitor, base, seconds=deadlines.save, force=force, progress=progress)
        while_stopped()


def dump_memory(
    monitor: Monitor | Path,
    output: Path,
    *,
    seconds: float = 600.0,
    force: bool = False,
    progress: debs.Progress = debs.silent,
) -> None:
    """Writes the memory of the guest behind `monitor`, or behind its socket's path, to `output`.

    A running guest is paused meanwhile. QEMU writes into a pipe; zeros become holes.

    Raises MonitorError, GuestError; vmcore.OutputExists and similar errors for a bad `output`.
    """
    if isinstance(monitor, Path):
        with contextlib.closing(Monitor(monitor)) as session:
            return dump_memory(session, output, seconds=seconds, force=force, progress=progress)
    deadline = time.monotonic() + seconds
    with vmcore.Output(output, force=force, stream=False) as out:
        file = out.fileno()
        pipe = _begin(monitor)
        try:
            size = _copy(pipe, file, monitor.execute("query-dump")["total"], deadline, progress)
        finally:
            os.close(pipe)
        os.ftruncate(file, size)
        _check_completed(monitor)
    return None


def _begin(monitor: Monitor) -> int:
    """Lets QEMU write the memory into a pipe; returns the pipe's reading end."""
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
    """Copies everything from the pipe; returns the number of bytes."""
    size, poll = 0, select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise MonitorTimeout(f"{DOING}: not done in time, {counted(size, 'byte')} so far")
        data = os.read(pipe, CHUNK)
        if not data:
            return size
        _write_sparse(out, data, size)
        size += len(data)
        progress(DOING, min(size / max(total, 1), 1.0))


def _write_sparse(out: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    for at in range(0, len(data), HOLE):
        piece = view[at : at + HOLE]
        if piece != ZEROS[: len(piece)]:
            os.pwrite(out, piece, offset + at)


def _check_completed(monitor: Monitor) -> None:
    """Raises if the dump failed: QEMU closes the pipe in either case."""
    if monitor.event("DUMP_COMPLETED", 30.0) is None:
        raise MonitorTimeout(f"{DOING}: it does not report completion")
    state = monitor.execute("query-dump")
    if state["status"] != "completed":
        raise GuestError(f"{DOING}: it failed ({state['status']})")
