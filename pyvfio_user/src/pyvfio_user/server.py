"""A vfio-user server: a PCI device that other processes, such as QEMU, attach through a socket.

    with Server("/run/card.sock") as server:
        server.config_space(pci.header(0x1425, 0x6407))
        server.region(0, 0x80000, access, bits64=True)
        server.irqs(msix=8)
        with server.stopped_by(signal.SIGTERM):
            server.run()                 # one client after another

A region's accesses go to a Python function or to a native one (`NativeAccess`, io.h's
`region_access`), which runs without Python's lock.

The server serves one client at a time; several may connect and wait. It cuts off a client that is
silent for `deadline` in the middle of a message, refuses malformed messages and logs them (logger
`pyvfio_user.server`, a few of each kind), and then serves the next client.

`dma_read` and `dma_write` copy from and to mapped memory. They cannot access memory that the client
shares without a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import mmap
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any, Generic, NamedTuple, TypeVar

from . import listen, pci
from ._server import ffi, lib
from .callbacks import Access, Callbacks, Input, NativeAccess, Served, logger
from .device import Area
from .errors import ListenError, Refused, ServerUnavailable
from .limited_log import LimitedLog
from .protocol import CONFIG_REGION, SPIN, IrqIndex

T = TypeVar("T")

VFU_READ, VFU_WRITE, VFU_MEM, VFU_ALWAYS_CB = 1, 2, 4, 8  # VFU_REGION_FLAG_*


class Peer(NamedTuple):
    """The process at the other end of a connection, and its user, as it connected (SO_PEERCRED)."""

    process: int
    user: int


class Server(Callbacks, contextlib.AbstractContextManager["Server"]):
    """A device on a socket at `path`. Clients may connect as soon as the constructor returns.

    `mode` and `owner` (a user's name or number) are the socket's. `deadline`: seconds that a client
    may be silent in the middle of a message. `spin`: seconds to poll for the next message, yielding
    the cpu, before sleeping (see Client). `idle`: seconds after which a client that asks for
    nothing gives way to another that has connected; None: never.

    Set the callbacks before `run`; they run in its thread. If a region's function or `on_reset`
    raises an exception, the server logs it and refuses the client's request (an OSError only
    refuses it, with its errno). One of `on_dma_map` or `on_dma_unmap` is only logged; one of
    `on_client` or `on_client_gone` ends `run`.

    The constructor raises ListenError or ServerUnavailable. A method raises Refused if libvfio-user
    refuses it, and ListenError if the server is closed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: int = 0o600,
        owner: str | int | None = None,
        deadline: float = 5.0,
        spin: float = SPIN,
        idle: float | None = None,
    ) -> None:
        if lib.server_unavailable:
            raise ServerUnavailable(ffi.string(lib.server_unavailable).decode())
        self.path = os.fspath(path)
        self._file = os.path.abspath(path)  # may be too long for bind(), but not for unlink()
        self.log = LimitedLog(logger)
        self._handle = ffi.new_handle(self)
        self._regions: dict[int, Any] = {}
        self._bars: dict[int, int] = {}
        self._realized = False
        self._work: Any = None
        self._pending: Any = None
        self._server: Any = ffi.NULL
        self._made = (0, 0)
        self._submitted: deque[_Submitted[Any]] = deque()
        self._submitting = threading.Lock()
        self._pause: _Pause | None = None
        self.died = False
        """Whether `die` has ended it."""
        try:
            with listen.prepared(self.path, mode, owner):
                self._server = self._create(deadline, spin, idle)
                self._made = listen.identity(self._file)
        except BaseException:
            self.close()
            raise

    def _create(self, deadline: float, spin: float, idle: float | None) -> Any:
        callbacks = ffi.new(
            "struct server_callbacks *",
            {
                "handle": self._handle,
                "reset": lib.server_on_reset,
                "dma_map": lib.server_on_dma_map,
                "dma_unmap": lib.server_on_dma_unmap,
                "log": lib.server_on_log,
                "wait": lib.server_on_wait,
            },
        )
        error = ffi.new("int *")
        level = 7 if logger.isEnabledFor(logging.DEBUG) else 3
        server = lib.server_create(
            os.fsencode(self.path),
            callbacks,
            max(1, round(deadline * 1000)),
            round(spin * 1e6),
            0 if idle is None else max(1, round(idle * 1000)),
            level,
            error,
        )
        if not server:
            raise ListenError(self.path, os.strerror(-error[0]), -error[0])
        return server

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the server is destroyed."""
        return not self._server

    def close(self) -> None:
        """Destroys the server and its socket. Must not be called during `run`.

        What was submitted and has not run is cancelled.
        """
        if self._server:
            listen.remove(self._file, self._made)
            with self._submitting:
                lib.server_destroy(self._server)
                self._server = ffi.NULL
            while self._submitted:
                self._submitted.popleft().future.cancel()
            self.log.flush()

    # The device

    def region(
        self,
        index: int,
        size: int,
        access: Access | NativeAccess,
        *,
        memory: bool = True,
        bits64: bool = False,
        prefetch: bool = False,
        mmap: Area | None = None,
    ) -> None:
        """Adds a region, such as a BAR (index 0 to 5), of up to 4 GiB - 1.

        `memory`: false for I/O space. `bits64`: a 64-bit BAR, which occupies the next index too.
        `mmap`: the one area (QEMU supports no more) that clients may map. Its file is an image of
        the region, so `fd_offset` is at least `offset`; in a sparse memfd, holes are free. Share
        nothing else in it, and make it with `memory_file`: clients get its descriptor, and what
        they truncate raises SIGBUS here.
        """
        self._add_region(index, size, access, VFU_MEM if memory else 0, mmap)
        if index < pci.BARS:
            self._bars[index] = pci.bar_flags(memory=memory, bits64=bits64, prefetch=prefetch)

    def config_space(self, initial: bytes, access: Access | NativeAccess | None = None) -> None:
        """Sets the first bytes of config space and, optionally, a function for all its 4096 bytes.

        Without `access`, the library serves the header and the capabilities that it knows. It
        refuses writes that are unaligned or narrower than the register.
        """
        self._config()[: len(initial)] = initial
        if access is not None:
            self._add_region(CONFIG_REGION, pci.CONFIG_SIZE, access, VFU_ALWAYS_CB, None)
        else:
            self._add_region(CONFIG_REGION, pci.CONFIG_SIZE, self._read_config, 0, None)

    def capability(self, position: int, data: bytes) -> None:
        """Adds a capability (see `pci`) at `position` of config space.

        The library serves PM, PCIe, MSI-X and vendor-specific ones. Others, such as VPD, are only
        linked into the list and are read-only: a device that serves them uses
        `config_space(access=...)`. Add those last.
        """
        if data[0] not in pci.LIBRARY_CAPABILITIES:
            pci.link(self._config(), position, data)
            return
        placed = lib.server_add_capability(self._live(), position, 0, data, len(data))
        self._check(placed, f"capability {data[0]:#x} at {position:#x}")

    def irqs(self, *, intx: int = 0, msi: int = 0, msix: int = 0) -> None:
        """Sets the number of interrupt vectors of each kind."""
        for index, count in ((IrqIndex.INTX, intx), (IrqIndex.MSI, msi), (IrqIndex.MSIX, msix)):
            self._check(lib.server_set_irqs(self._live(), index, count), f"{count} interrupts")

    # Serving

    def run(self) -> None:
        """Serves one client after another until `stop`."""
        self._realize()
        while (event := self._run_once()) != lib.SERVER_STOPPED:
            if event == lib.SERVER_CLIENT:
                self.log.info("a client is attached to %s", self.path)
                self._call(self.on_client)
            elif event == lib.SERVER_GONE:
                self.log.info("the client of %s is gone", self.path)
                self._call(self.on_client_gone)
            elif event == lib.SERVER_TURNED_AWAY:
                self.log.warning("a client of %s was turned away", self.path)
            if self._submitted:
                self._run_submitted()
        if self.died:
            self._made = (0, 0)  # the file of the socket stays
            self.close()

    def _run_once(self) -> int:
        while self._pause:
            self._stand_still(self._pause)
        return int(lib.server_run(self._live()))

    def serve(self, *signals: signal.Signals) -> None:
        """Runs until one of `signals` comes (by default SIGTERM or SIGINT), and closes.

        What a program is that only serves a device. Call it in the main thread.
        """
        with self, self.stopped_by(*signals or (signal.SIGTERM, signal.SIGINT)):
            self.run()

    def stop(self) -> None:
        """Makes `run` return soon; a later `run` returns at once. Any thread may call this."""
        lib.server_stop(self._live())

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Runs `function` in the thread of `run`, between two messages. Any thread may call this.

        Returns at once; the future gets what `function` returns or raises. It runs soon, whether a
        client is attached or not, and busy or idle, but not in the middle of a message: a client
        that sends half of one delays it until the server's `deadline`. So wait for the future with
        a deadline of your own, and `cancel()` it afterwards. Clients wait while `function` runs.
        It is like a callback: it may use `irq`, `dma_read` and `dma_write`, and must not wait for
        something else that was submitted. Raises ListenError if the server is closed.
        """
        submitted = _Submitted(function)
        with self._submitting:
            server = self._live()
            self._submitted.append(submitted)
            lib.server_wake(server)
        return submitted.future

    def _run_submitted(self) -> None:
        """Runs the first of what has been submitted. A message that has come is served before the
        next, so that clients wait for one function and not for all of them."""
        lib.server_woken(self._live())
        self._submitted.popleft().run()
        if self._submitted:
            lib.server_wake(self._live())

    def pause(
        self, seconds: float | None = None, then: Callable[[], object] = lambda: None
    ) -> None:
        """Answers no message for so long, or until `resume` (None), as if the process were stopped.

        The device's work stands still as well; what is submitted runs. When the time is over,
        `then` is called. Call it in `run`'s thread, or before `run`: in a callback, the message
        that has led to it is answered first.
        """
        self._pause = _Pause(None if seconds is None else time.monotonic() + seconds, then)
        lib.server_wake(self._live())

    def resume(self) -> None:
        """Ends a `pause`, without its `then`; in `run`'s thread."""
        self._pause = None

    def _stand_still(self, pause: _Pause) -> None:
        """Waits for the end of a pause, but at most a second."""
        if self._submitted:
            self._run_submitted()
        else:
            lib.server_woken(self._live())
        if self._pause is not pause:
            return
        left = 1.0 if pause.until is None else min(1.0, pause.until - time.monotonic())
        if left > 0 and not lib.server_sleep(self._live(), math.ceil(left * 1000)):
            return
        self._pause = None
        if left <= 0:
            pause.then()

    def die(self) -> None:
        """Ends `run` as the end of the process would: the connection and the listener are closed
        without a word, and the file of the socket stays. Call it in `run`'s thread."""
        self.died = True
        self.stop()

    @property
    def peer(self) -> Peer | None:
        """The process that is attached as a client; None if there is none. For any thread."""
        process, user = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        if lib.server_peer(self._live(), process, user) < 0:
            return None
        return Peer(process[0], user[0])

    @property
    def messages(self) -> int:
        """Messages that have come so far, from all clients."""
        return int(lib.server_messages(self._live()))

    @contextlib.contextmanager
    def stopped_by(self, *signals: signal.Signals) -> Iterator[None]:
        """Makes signals call `stop` within the context, and restores their handlers after it.

        Use it in the main thread. A program that reports that it is ready should do so inside.
        """

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def irq(self, vector: int) -> bool:
        """Signals an interrupt; False if the client has not enabled it. Any thread may call it."""
        done = lib.server_irq(self._live(), vector)
        if done == -errno.ENOENT:
            return False
        self._check(done, f"interrupt {vector}")
        return True

    def intx(self, asserted: bool) -> bool:
        """Sets the level of INTx, for a device whose only interrupt it is.

        The client is told when it rises, and again while it lasts, whenever the guest has ended its
        interrupt. The PCI status shows it. False if it rises and the client has not enabled it. Any
        thread may call this. With a config space of your own (`access`), that must show the status.
        """
        done = lib.server_intx(self._live(), bool(asserted))
        if done == -errno.ENOENT:
            return False
        self._check(done, "INTx")
        return True

    def dma_read(self, address: int, length: int) -> bytes:
        """Reads the client's memory. Raises Refused. Any thread may call this."""
        data = bytearray(length)
        with ffi.from_buffer(data, require_writable=True) as buffer:
            done = lib.server_dma(self._live(), address, buffer, length, False)
        self._check(done, f"DMA read of {length} bytes at {address:#x}")
        return bytes(data)

    def dma_write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Writes to the client's memory. Raises Refused. Any thread may call this."""
        with ffi.from_buffer(data) as buffer:
            done = lib.server_dma(self._live(), address, buffer, len(buffer), True)
        self._check(done, f"DMA write of {len(data)} bytes at {address:#x}")

    def host(self) -> int:
        """Returns the address of a `struct host` (host.h) for C code, valid until `close`."""
        return int(ffi.cast("uintptr_t", lib.server_host(self._live())))

    def work(self, address: int | None) -> None:
        """Registers the device's own work: the address of a `struct work` (work.h), or None.

        The struct is copied. What it points to must live until the work is replaced or the server
        is closed. Call this before `run`, or in its thread.
        """
        work = ffi.cast("struct work *", address) if address else ffi.NULL
        lib.server_set_work(self._live(), work)

    def on_input(self, fd: int, receive: Callable[[bytes], object]) -> None:
        """Passes what is read from a file descriptor on, in pieces of up to 4096 bytes.

        `receive` is called by `run`'s thread, between two accesses, and needs no lock. This is the
        device's work (`work`), and ends with the descriptor, or with an exception, which is logged.
        """
        self._work = ffi.new_handle(Input(fd, receive, lambda: self.work(None), self.log))
        self._pending = ffi.new("uint32_t *")
        work = ffi.new("struct work *", [self._work, fd, self._pending, lib.server_on_input])
        self.work(int(ffi.cast("uintptr_t", work)))

    def _add_region(
        self,
        index: int,
        size: int,
        access: Access | NativeAccess,
        flags: int,
        area: Area | None,
    ) -> None:
        if isinstance(access, NativeAccess):
            function = ffi.cast("region_access", access.fn)
            cookie = ffi.cast("void *", access.cookie)
        else:
            function = lib.server_on_access
            cookie = self._regions[index] = ffi.new_handle(Served(access, self.log))
        region = ffi.new(
            "struct server_region *",
            {
                "access": function,
                "cookie": cookie,
                "size": size,
                "flags": flags | VFU_READ | VFU_WRITE,
                "fd": -1,
            },
        )
        if area:
            _check_area(area, size)
            region.area_offset, region.area_length = area.offset, area.length
            region.fd, region.fd_offset = area.fd, area.fd_offset - area.offset
        done = lib.server_add_region(self._live(), index, region)
        self._check(done, f"region {index} of {size:#x} bytes")

    def _config(self) -> memoryview:
        space = lib.server_config_space(self._live())
        return memoryview(ffi.buffer(space, pci.CONFIG_SIZE)).cast("B")

    def _read_config(self, offset: int, data: memoryview, is_write: bool) -> None:
        """Serves config space outside the header and the library's capabilities: read-only."""
        if not is_write:
            data[:] = self._config()[offset : offset + len(data)]

    def _realize(self) -> None:
        """Completes the device. Sets all BARs, since the library marks unknown ones as I/O."""
        if self._realized:
            return
        self._check(lib.server_realize(self._live()), "the device")
        config = self._config()
        for bar in range(pci.BARS):
            at = pci.BAR0 + 4 * bar
            config[at : at + 4] = self._bars.get(bar, 0).to_bytes(4, "little")
        self._realized = True

    @staticmethod
    def _call(callback: Callable[[], None] | None) -> None:
        if callback:
            callback()

    def _live(self) -> Any:
        if not self._server:
            raise ListenError(self.path, "this server is closed")
        return self._server

    @staticmethod
    def _check(done: int, what: str) -> None:
        if done < 0:
            raise Refused(what, -done)


class _Pause(NamedTuple):
    """Until when (`time.monotonic`) a server stands still; None: until it is told to go on."""

    until: float | None
    then: Callable[[], object]


class _Submitted(Generic[T]):
    """A function that is to run in the server's thread, and the future of its result."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.function, self.future = function, Future[T]()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):
                raise


def library_version() -> str | None:
    """Returns libvfio-user's version and origin; None in a build without it."""
    text = lib.server_library
    return ffi.string(text).decode() if text else None


def _check_area(area: Area, size: int) -> None:
    if any(value % mmap.PAGESIZE for value in (area.offset, area.length, area.fd_offset)):
        raise ValueError("an area to map is not aligned to pages")
    if area.fd_offset < area.offset or not 0 < area.length <= size - area.offset:
        raise ValueError("an area to map is not inside its region, or its file holds no image")
