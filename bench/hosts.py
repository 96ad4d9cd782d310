"""How a driver of queues reaches a card: in this process, or over a socket. Both have the same
memory, registers and doorbells.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pyvfio_user import Client, IrqIndex, memory_file
from vmcoredd.bench._cffi import ffi, lib
from vmcoredd.chip.pci import CAP_AT, Bar, Cap, ConfigHeader, PciCommand
from vmcoredd.driver.transports import Inproc, Socket
from vmcoredd.emu import Card

BASE = 0x1_0000_0000
"""The bus address of the memory."""
SIZE = 256 << 20
VECTORS, AT_ONCE = 64, 16
"""That it listens to, and how many descriptors a message has."""
MSIX_ENABLE = 1 << 31


class Memory:
    """Memory that driver and card share; `c` is a `struct shared_memory`."""

    def __init__(self) -> None:
        self.fd = memory_file("rings", SIZE)
        self._map = mmap.mmap(self.fd, SIZE, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self.c: Any = ffi.new("struct shared_memory *")
        self.c.address, self.c.size = BASE, SIZE
        self._bytes = ffi.from_buffer("uint8_t[]", self._map)
        self.c.bytes = self._bytes

    def put(self, at: int, data: bytes) -> None:
        """Writes memory."""
        self._map[at : at + len(data)] = data

    def close(self) -> None:
        """Closes its descriptor."""
        os.close(self.fd)


class Host(Protocol):
    """What a driver needs of the machine that a card is plugged into."""

    memory: Memory
    io: Any
    """Registers and configuration space: `hw.io.Io` with `config`."""

    def fill(self, rings: Any) -> None:
        """Tells a `struct rings` how to reach BAR2 and memory."""

    def interrupts(self) -> int:
        """Returns how many interrupts the card has raised."""


class LocalHost:
    """A card in this process, whose engine runs when the driver lets it."""

    def __init__(self, card: Card, memory: Memory) -> None:
        self.card, self.memory = card, memory
        self.io = Inproc(card).io()
        self._host = ffi.new("struct host *")
        lib.rings_host(self._host, memory.c)
        card.engine.attach(int(ffi.cast("uintptr_t", self._host)))

    def fill(self, rings: Any) -> None:
        """See `Host`."""
        function, cookie = self.card.core.native(Bar.DOORBELLS)
        rings.access = ffi.cast("region_access", function)
        rings.cookie = ffi.cast("void *", cookie)
        rings.work = ffi.cast("struct work *", self.card.engine.work)
        rings.memory = self.memory.c

    def interrupts(self) -> int:
        """See `Host`."""
        return int(self.memory.c.interrupts)


class RemoteHost:
    """A card at a socket."""

    def __init__(self, socket: Socket, memory: Memory) -> None:
        self.client: Client = socket.client
        self.io, self.memory = socket.io(), memory
        self.client.dma_map(memory.fd, BASE, SIZE)
        self._interrupts = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._count = 0
        for first in range(0, VECTORS, AT_ONCE):
            self.client.irq_eventfds(IrqIndex.MSIX, [self._interrupts] * AT_ONCE, first)

    def fill(self, rings: Any) -> None:
        """See `Host`."""
        rings.io = ffi.cast("struct io *", self.client.io(Bar.DOORBELLS))
        rings.memory = self.memory.c

    def interrupts(self) -> int:
        """See `Host`. All vectors have the same eventfd, which counts them."""
        with contextlib.suppress(BlockingIOError):
            self._count += os.eventfd_read(self._interrupts)
        return self._count

    def close(self) -> None:
        """Closes its descriptor."""
        os.close(self._interrupts)


@contextmanager
def in_process(card: Card) -> Iterator[LocalHost]:
    """Plugs a card into a host in this process."""
    memory = Memory()
    host = LocalHost(card, memory)
    try:
        _enable(host)
        yield host
    finally:
        card.engine.detach()
        memory.close()


@contextmanager
def at_socket(path: Path) -> Iterator[RemoteHost]:
    """Connects to the card at `path`, and shares memory with it."""
    memory, socket = Memory(), Socket(path)
    host = RemoteHost(socket, memory)
    try:
        _enable(host)
        yield host
    finally:
        socket.close()
        host.close()
        memory.close()


def _enable(host: Host) -> None:
    """Lets the card access memory and raise interrupts."""
    config = host.io.config
    config.write(ConfigHeader.command.offset, PciCommand.MEMORY | PciCommand.MASTER)
    at = CAP_AT[Cap.MSIX]
    config.write(at, config.read(at) | MSIX_ENABLE)
