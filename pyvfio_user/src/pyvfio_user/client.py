"""A vfio-user client: accesses a device's regions, interrupts and DMA over a server's socket.

    with Client("/run/card.sock", deadline=5.0) as client:
        word = client.region_read(0, 0x1000, 4)
        client.region_write(0, 0x1000, b"\\1\\0\\0\\0")
        io = client.io(0)        # the address of a `struct io` (io.h) for C code

Requests are pipelined: a long transfer is split at the server's limit, and all its parts are in
flight together; posted writes are collected and sent together. C code does the same through
`client.io(region)`. Only one thread at a time may use a client.

The client checks every field of a reply, and waits at most `deadline` for one.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import device, protocol
from ._client import ffi, lib
from .connection import REPLY_MAX, Connection, Counters
from .device import DeviceInfo, Irq, Region
from .errors import ProtocolError, Refused
from .protocol import SPIN, Capabilities, Command, DmaFlag, IrqIndex, IrqSet
from .shared import UnsealedArea, mapped

COUNT_MAX = 256  # regions or interrupt indexes of a device


class RegionAccess(NamedTuple):
    """An access to a region: of `length` bytes that are read, or of `data` that are written."""

    region: int
    offset: int
    length: int = 0
    data: bytes | None = None


class Client(contextlib.AbstractContextManager["Client"]):
    """A connection to the server at `path`.

    `deadline`: seconds that the server may be silent while a reply is due. `spin`: seconds to poll
    for a reply, yielding the cpu, before sleeping; if the server does the same, a round trip
    between two cpus takes a seventh of the time.

    Every method raises ConnectionLost if the connection is lost, and Refused if the server refuses
    the request. The constructor also raises ConnectError.
    """

    def __init__(
        self, path: str | os.PathLike[str], deadline: float = 5.0, spin: float = SPIN
    ) -> None:
        self._connection = Connection(os.fspath(path), deadline, spin)
        self._fds: list[int] = []
        self._ios: dict[int, Any] = {}

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. Addresses that `io` returned become invalid."""
        self._connection.close()
        self._ios.clear()
        while self._fds:
            os.close(self._fds.pop())

    @property
    def capabilities(self) -> Capabilities:
        """The server's capabilities."""
        return self._connection.capabilities

    @property
    def counters(self) -> Counters:
        """Counts of the traffic so far."""
        return self._connection.counters

    # The device

    @functools.cached_property
    def device_info(self) -> DeviceInfo:
        """The device's flags and sizes."""
        layout = protocol.DEVICE_INFO
        request = layout.pack(layout.size, 0, 0, 0)
        reply = self._connection.request(Command.DEVICE_GET_INFO, request, layout.size)
        _, flags, regions, irqs = layout.unpack_from(reply)
        if max(regions, irqs) > COUNT_MAX:
            raise ProtocolError("device info", f"{regions} regions and {irqs} interrupt indexes")
        return DeviceInfo(flags, regions, irqs)

    @functools.cached_property
    def regions(self) -> tuple[Region, ...]:
        """All regions, by index (VFIO's: 0 to 5 are the BARs, 7 is config space)."""
        return tuple(self._region(index) for index in range(self.device_info.regions))

    @functools.cached_property
    def irqs(self) -> tuple[Irq, ...]:
        """All interrupt indexes."""
        return tuple(self._irq(index) for index in range(self.device_info.irqs))

    def reset(self) -> None:
        """Resets the device."""
        self._connection.request(Command.DEVICE_RESET)

    # Regions

    def region_read(self, region: int, offset: int, length: int) -> bytes:
        """Returns `length` bytes at `offset` of a region."""
        data = bytearray(length)
        self.region_read_into(region, offset, data)
        return bytes(data)

    def region_read_into(self, region: int, offset: int, into: bytearray | memoryview) -> None:
        """Fills a writable buffer from `offset` of a region."""
        core = self._connection.core
        with ffi.from_buffer(into, require_writable=True) as buffer:
            done = lib.client_region_read(core, region, offset, buffer, len(buffer))
        self._connection.check(done, f"read at {offset:#x} of region {region}")

    def region_write(
        self,
        region: int,
        offset: int,
        data: bytes | bytearray | memoryview,
        *,
        posted: bool = False,
    ) -> None:
        """Writes `data` at `offset` of a region.

        A posted write does not wait, and a refusal goes unnoticed. It is sent with the next
        request that waits, or by `flush`. Writes take effect in order.
        """
        write = lib.client_region_post if posted else lib.client_region_write
        core = self._connection.core
        with ffi.from_buffer(data) as buffer:
            done = write(core, region, offset, buffer, len(buffer))
        self._connection.check(done, f"write at {offset:#x} of region {region}")

    def access_all(self, accesses: Sequence[RegionAccess]) -> list[bytes | Refused]:
        """Makes accesses in their order, all in flight together.

        Returns what each has read, nothing for a write, or why the server refuses it.
        """
        data = [bytearray(one.data or one.length) for one in accesses]
        held = [ffi.from_buffer(one) for one in data]
        made = ffi.new("struct client_access[]", len(accesses))
        for into, one, buffer in zip(made, accesses, held, strict=True):
            into.data, into.length = buffer, len(buffer)
            into.region, into.offset, into.is_write = one.region, one.offset, one.data is not None
        done = lib.client_access_all(self._connection.core, made, len(accesses))
        self._connection.check(done, "several accesses")
        return [
            Refused(f"access at {one.offset:#x} of region {one.region}", -of.status)
            if of.status
            else (b"" if of.is_write else bytes(read))
            for one, of, read in zip(accesses, made, data, strict=True)
        ]

    def flush(self) -> None:
        """Sends all posted writes."""
        self._connection.check(lib.client_flush(self._connection.core), "posted writes")

    def mmap(
        self, region: int, area: int = 0, *, writable: bool = True
    ) -> mmap.mmap | UnsealedArea:
        """Maps an area of a region. Raises IndexError if there is no such area.

        The memory is the server's. Its file is sealed first, so that the server cannot truncate
        it; if it cannot be sealed, an `UnsealedArea` with the same slices is returned.
        """
        wanted = self.regions[region].areas[area]
        try:
            return mapped(wanted, writable=writable)
        except (OSError, ValueError, OverflowError) as error:
            raise ProtocolError(f"area {area} of region {region}", str(error)) from error

    def io(self, region: int) -> int:
        """Returns the address of a `struct io` (io.h) over a region, valid until `close`.

        Its writes are posted and its reads split; a fence waits for them. After a refused read or
        a lost connection, all its functions return that error.
        """
        core = self._connection.core
        if region not in self._ios:
            io = ffi.new("struct client_io *")
            lib.client_io_init(io, core, region)
            self._ios[region] = io
        return int(ffi.cast("uintptr_t", self._ios[region]))

    # Interrupts

    def irq_eventfds(self, index: int, fds: Sequence[int], start: int = 0) -> None:
        """Makes the device signal these eventfds for an index's vectors from `start` on."""
        flags = IrqSet.DATA_EVENTFD | IrqSet.ACTION_TRIGGER
        self._set_irqs(flags, index, start, fds)

    def irq_eventfd(self, vector: int, index: int = IrqIndex.MSIX) -> int:
        """Returns a new eventfd that the device signals for `vector`. The caller closes it."""
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self.irq_eventfds(index, [fd], vector)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def irq_disable(self, index: int) -> None:
        """Detaches all eventfds from an interrupt index."""
        self._set_irqs(IrqSet.DATA_NONE | IrqSet.ACTION_TRIGGER, index, 0, ())

    # DMA

    def dma_map(
        self,
        fd: int,
        address: int,
        size: int,
        *,
        offset: int = 0,
        flags: DmaFlag = DmaFlag.READ | DmaFlag.WRITE,
        by_message: bool = False,
    ) -> None:
        """Shares `size` bytes of a file at `offset` with the device, at its `address`.

        The server gets the file, and may truncate it unless it is sealed, as one of `memory_file`
        is. `by_message`: it does not get the file, and must request each access. Such requests are
        served while this client waits for a reply, and by `serve_dma`; for the first 512 shares,
        also if the server got the file.
        """
        core = self._connection.core
        shared = lib.client_share(core, fd, offset, address, size, flags)
        if by_message:
            self._connection.check(shared, f"memory at {address:#x}")
        request = protocol.DMA_MAP.pack(protocol.DMA_MAP.size, flags, offset, address, size)
        try:
            self._connection.request(Command.DMA_MAP, request, fds=[] if by_message else [fd])
        except BaseException:
            if shared == 0:
                lib.client_unshare(core, address, size)
            raise

    def dma_unmap(self, address: int, size: int) -> None:
        """Ends the sharing that `dma_map` began."""
        request = protocol.DMA_UNMAP.pack(protocol.DMA_UNMAP.size, 0, address, size)
        self._connection.request(Command.DMA_UNMAP, request)
        lib.client_unshare(self._connection.core, address, size)

    def serve_dma(self, seconds: float) -> int:
        """Waits for the server's requests for memory, and serves those that come together.

        Returns their number: 0 if none came for `seconds`.
        """
        served = lib.client_serve(self._connection.core, max(0, round(seconds * 1000)))
        self._connection.check(served, "requests for memory")
        return int(served)

    def _region(self, index: int) -> Region:
        reply, fds = self._region_info(index, protocol.REGION_INFO.size)
        wanted = int.from_bytes(reply[:4], "little")
        if len(reply) < wanted <= REPLY_MAX:  # its capabilities did not fit
            reply, fds = self._region_info(index, wanted)
        try:
            return device.parse_region(index, reply, fds)
        except ValueError as error:
            raise ProtocolError(f"info of region {index}", str(error)) from error

    def _region_info(self, index: int, size: int) -> tuple[bytes, list[int]]:
        request = protocol.REGION_INFO.pack(size, 0, index, 0, 0, 0)
        reply, fds = self._connection.call(Command.DEVICE_GET_REGION_INFO, request)
        self._fds += fds
        return reply, fds

    def _irq(self, index: int) -> Irq:
        layout = protocol.IRQ_INFO
        request = layout.pack(layout.size, 0, index, 0)
        reply = self._connection.request(Command.DEVICE_GET_IRQ_INFO, request, layout.size)
        _, flags, replied, count = layout.unpack_from(reply)
        if replied != index:
            raise ProtocolError(f"info of interrupt {index}", f"it describes {replied}")
        return Irq(index, flags, count)

    def _set_irqs(self, flags: int, index: int, start: int, fds: Sequence[int]) -> None:
        request = protocol.IRQ_SET.pack(protocol.IRQ_SET.size, flags, index, start, len(fds))
        self._connection.request(Command.DEVICE_SET_IRQS, request, fds=fds)
