"""A host for the packet engine: RAM, interrupts, and what a driver keeps of the queues it reads."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.core import Core
from vmcoredd.emu.engine import Engine

BASE = 0x1_0000_0000
"""The bus address of the RAM."""
SIZE = 1 << 24

_TABLES: WeakKeyDictionary[Engine, tuple[Any, Any]] = WeakKeyDictionary()
"""The MSI-X tables of engines, which may outlive the host that has put them there."""


class RamHost:
    """`SIZE` bytes of RAM at bus address `BASE`, nothing elsewhere; `interrupts` lists the vectors
    that were raised. The core's engine uses it from now on."""

    def __init__(self, core: Core) -> None:
        self.core, self.engine, self.c = core, core.engine, core.engine.c
        self.memory = bytearray(SIZE)
        self.interrupts: list[int] = []
        self.written: list[tuple[int, int]] = []
        """Address and length of each write to memory."""
        self.on_write: Callable[[int, bytes], None] = lambda address, data: None
        self._next = BASE
        host = self._host = ffi.new("struct host *")
        self._calls = (
            ffi.callback("int(void *, uint32_t)", self._irq),
            ffi.callback("int(void *, uint64_t, void *, uint64_t)", self._read),
            ffi.callback("int(void *, uint64_t, const void *, uint64_t)", self._write),
        )
        host.irq, host.dma_read, host.dma_write = self._calls
        self._table = ffi.new("uint32_t[]", 4 * lib.ENGINE_VECTORS)
        self._pending = ffi.new("uint32_t[]", lib.ENGINE_VECTORS // 32)
        self.c.msix_table, self.c.msix_pending_bits = self._table, self._pending
        _TABLES[core.engine] = self._table, self._pending
        self.c.host, self.c.bus_master, self.c.msix = host, 1, 1

    def _irq(self, _cookie: Any, vector: int) -> int:
        self.interrupts.append(vector)
        return 0

    def _read(self, _cookie: Any, address: int, into: Any, length: int) -> int:
        at = address - BASE
        if not 0 <= at <= SIZE - length:
            return -errno.ENOENT
        ffi.memmove(into, bytes(self.memory[at : at + length]), length)
        return 0

    def _write(self, _cookie: Any, address: int, data: Any, length: int) -> int:
        at = address - BASE
        if not 0 <= at <= SIZE - length:
            return -errno.ENOENT
        self.memory[at : at + length] = ffi.buffer(data, length)
        self.written.append((address, length))
        self.on_write(address, bytes(self.memory[at : at + length]))
        return 0

    def allocate(self, size: int) -> int:
        """Returns the address of that many bytes, which no one else gets; 4096-byte aligned."""
        address, self._next = self._next, self._next + -(-size // 4096) * 4096
        assert self._next <= BASE + SIZE
        return address

    def get(self, address: int, length: int) -> bytes:
        """Reads memory."""
        return bytes(self.memory[address - BASE : address - BASE + length])

    def put(self, address: int, data: bytes) -> None:
        """Writes memory."""
        self.memory[address - BASE : address - BASE + len(data)] = data
