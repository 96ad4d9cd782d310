"""A device's callbacks: their types, and the functions through which C calls them.

An exception must not become a success. After one, cffi returns 0 by default, so every function that
C calls has `error=` and `onerror=`.
"""

from __future__ import annotations

import enum
import errno
import logging
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

from ._server import ffi, lib
from .limited_log import LimitedLog

logger = logging.getLogger("pyvfio_user.server")
INPUT_MAX = 4096
LEVELS = [logging.CRITICAL] * 3 + [logging.ERROR, logging.WARNING] + [logging.INFO] * 2

Access = Callable[[int, memoryview, bool], None]
"""access(offset, data, is_write): fills `data` for a read, stores it for a write.

An OSError refuses the access with its errno. `data` is valid only during the call.
"""


@dataclass(frozen=True)
class NativeAccess:
    """A `region_access` function (io.h) and its cookie, as addresses."""

    fn: int
    cookie: int = 0


class Served(NamedTuple):
    """A region's function, and the log for its exceptions."""

    access: Access
    log: LimitedLog


class Input(NamedTuple):
    """What a file descriptor brings: where it goes, and the end of it."""

    fd: int
    receive: Callable[[bytes], object]
    end: Callable[[], None]
    log: LimitedLog

    def pass_on(self) -> None:
        """Reads what there is, and passes it on. At its end, and after an error, it is no more.

        The server also calls this when there is nothing (work.h).
        """
        poller, ended = select.poll(), True
        poller.register(self.fd, select.POLLIN)
        if not poller.poll(0):
            return
        try:
            if data := os.read(self.fd, INPUT_MAX):
                self.receive(data)
                ended = False
        except BlockingIOError:
            ended = False
        finally:
            if ended:
                self.end()


class ResetReason(enum.IntEnum):
    """VFU_RESET_*: the client requested it, disconnected, or wrote to the PCIe capability."""

    DEVICE = 0
    LOST_CONNECTION = 1
    FUNCTION_LEVEL = 2


@dataclass(frozen=True)
class DmaRegion:
    """Client memory at `address` for the device, which can access it only if it is `mapped`."""

    address: int
    size: int
    writable: bool
    mapped: bool


class Callbacks:
    """The device's optional callbacks. Set them before `Server.run`, which calls them."""

    path: str
    log: LimitedLog
    on_client: Callable[[], None] | None = None
    on_client_gone: Callable[[], None] | None = None
    on_reset: Callable[[ResetReason], None] | None = None
    on_dma_map: Callable[[DmaRegion], None] | None = None
    on_dma_unmap: Callable[[DmaRegion], None] | None = None


def _refuse(_kind: object, error: BaseException, trace: TracebackType | None) -> int:
    """Turns a callback's exception into -errno: an OSError is intended, any other is a bug."""
    if isinstance(error, OSError) and error.errno:
        return -error.errno
    _report(_kind, error, trace)
    return -errno.EIO


def _report(_kind: object, error: BaseException, trace: TracebackType | None) -> None:
    """Logs a callback's exception. `log` is a variable of each function that C calls."""
    log = trace.tb_frame.f_locals.get("log", logger) if trace else logger
    log.error("a callback failed: %r", error, exc_info=error)


if lib.server_library:

    @ffi.def_extern(error=-errno.EIO, onerror=_refuse)  # type: ignore[untyped-decorator]
    def server_on_access(cookie: Any, offset: int, data: Any, length: int, is_write: int) -> int:
        served: Served = ffi.from_handle(cookie)
        log = served.log  # noqa: F841 - for _report()
        with memoryview(ffi.buffer(data, length)).cast("B") as view:
            served.access(offset, view, bool(is_write))
        return 0

    @ffi.def_extern(error=-errno.EIO, onerror=_refuse)  # type: ignore[untyped-decorator]
    def server_on_reset(handle: Any, reason: int) -> int:
        device: Callbacks = ffi.from_handle(handle)
        log = device.log  # noqa: F841 - for _report()
        if device.on_reset:
            device.on_reset(ResetReason(reason))
        return 0

    @ffi.def_extern(onerror=_report)  # type: ignore[untyped-decorator]
    def server_on_dma_map(handle: Any, address: int, size: int, writable: int, mapped: int) -> None:
        device: Callbacks = ffi.from_handle(handle)
        log = device.log  # noqa: F841 - for _report()
        if device.on_dma_map:
            device.on_dma_map(DmaRegion(address, size, bool(writable), bool(mapped)))

    @ffi.def_extern(onerror=_report)  # type: ignore[untyped-decorator]
    def server_on_dma_unmap(
        handle: Any, address: int, size: int, writable: int, mapped: int
    ) -> None:
        device: Callbacks = ffi.from_handle(handle)
        log = device.log  # noqa: F841 - for _report()
        if device.on_dma_unmap:
            device.on_dma_unmap(DmaRegion(address, size, bool(writable), bool(mapped)))

    @ffi.def_extern(onerror=_report)  # type: ignore[untyped-decorator]
    def server_on_log(handle: Any, level: int, message: Any) -> None:
        device: Callbacks = ffi.from_handle(handle)
        log = device.log
        text = ffi.string(message).decode(errors="replace")
        log.log(
            LEVELS[level] if level < len(LEVELS) else logging.DEBUG, "%s: %s", device.path, text
        )

    @ffi.def_extern(onerror=_report)  # type: ignore[untyped-decorator]
    def server_on_input(handle: Any) -> None:
        work: Input = ffi.from_handle(handle)
        log = work.log  # noqa: F841 - for _report()
        work.pass_on()

    @ffi.def_extern(onerror=_report)  # type: ignore[untyped-decorator]
    def server_on_wait(_handle: Any) -> None:
        """Does nothing: before a function runs, Python runs the handlers of signals."""
