"""The Python side of the packet engine."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any

from pyvfio_user import LimitedLog
from vmcoredd.emu._cffi import ffi, lib

log = logging.getLogger("emu")

NO_QUEUE = lib.ENGINE_NO_QUEUE


class Engine:
    """The engine of one card; `c` is its `struct engine`."""

    def __init__(self, core: Any) -> None:
        """`core` is the card's `struct core`."""
        self.log = LimitedLog(log)
        self.c: Any = ffi.new("struct engine *")
        self._handle = ffi.new_handle(self)
        self._scratch = ffi.new("uint8_t[]", lib.ENGINE_SCRATCH)
        c = self.c
        c.core, c.handle, c.scratch = core, self._handle, self._scratch
        c.report, c.link_changed = lib.emu_on_trouble, lib.emu_on_link
        c.work_fd = c.timer_fd = -1
        for port in c.ports:
            port.fd = port.listener = port.capture = -1
        core.engine = c

    def run(self, now: int | None = None) -> None:
        """Does a bounded amount of work, at `now` nanoseconds of the monotonic clock."""
        lib.engine_run(self.c, time.monotonic_ns() if now is None else now)

    def trouble(self, kind: int, queue: int, what: int, error: int) -> None:
        """Logs what went wrong."""
        self.log.warning("trouble %d: queue %d, %#x, %d", kind, queue, what, error)

    def link_changed(self, port: int, up: bool) -> None:
        """Hears that a link has come up or gone down."""


def _report(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    log.error("a callback of the packet engine failed: %s", error, exc_info=error)


@ffi.def_extern(onerror=_report)
def emu_on_trouble(handle: Any, kind: int, queue: int, what: int, error: int) -> None:
    """C calls this when something went wrong (enum engine_trouble)."""
    ffi.from_handle(handle).trouble(kind, queue, what, error)


@ffi.def_extern(onerror=_report)
def emu_on_link(handle: Any, port: int, up: int) -> None:
    """C calls this when a link has changed."""
    ffi.from_handle(handle).link_changed(port, bool(up))
