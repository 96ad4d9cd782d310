"""A card of plain memory behind a real `struct io`, with hooks where a test needs silicon."""

from __future__ import annotations

import errno
from collections.abc import Callable

from vmcoredd.driver._cffi import ffi
from vmcoredd.driver.engine import EngineIo
from vmcoredd.driver.transports import Inproc

OnRead = Callable[[int], int]
OnWrite = Callable[[int], None]


class RamCard:
    """BAR0 as words; `on_read[offset]` returns the value to read, `on_write[offset]` takes one.

    `log` lists the accesses as ("r"|"w", offset, bytes) in order. After `dies_after` of them, every
    access fails.
    """

    def __init__(self, size: int = 0x80000) -> None:
        self.memory = bytearray(size)
        self.config = bytearray(4096)
        self.on_read: dict[int, OnRead] = {}
        self.on_write: dict[int, OnWrite] = {}
        self.log: list[tuple[str, int, int]] = []
        self.dies_after: int | None = None
        signature = "int(void *, uint64_t, void *, uint32_t, int)"
        self._access = ffi.callback(signature, self._accessed, error=-errno.EIO)

    @property
    def access(self) -> tuple[int, int]:
        """A `region_access` function and its cookie, as integers."""
        return int(ffi.cast("uintptr_t", self._access)), 0

    @property
    def bar0(self) -> RamCard:
        """BAR0 is all that the card has."""
        return self

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns the engine's `Io` for this card."""
        return Inproc(self).io(pipelined=pipelined)

    def config_read(self, offset: int, length: int) -> bytes:
        """Reads configuration space."""
        return bytes(self.config[offset : offset + length])

    def config_write(self, offset: int, data: bytes) -> None:
        """Writes configuration space."""
        self.config[offset : offset + len(data)] = data

    def word(self, offset: int) -> int:
        """Returns a word without calling its hook."""
        return int.from_bytes(self.memory[offset : offset + 4], "little")

    def put(self, offset: int, value: int) -> None:
        """Sets a word without calling its hook."""
        self.memory[offset : offset + 4] = value.to_bytes(4, "little")

    def _accessed(self, cookie: object, offset: int, data: object, length: int, write: int) -> int:
        if self.dies_after is not None and len(self.log) >= self.dies_after:
            return -errno.EIO
        self.log.append(("w" if write else "r", offset, length))
        view = ffi.buffer(data, length)
        if write:
            self._written(offset, bytes(view))
        else:
            view[:] = self._read(offset, length)
        return 0

    def _written(self, offset: int, data: bytes) -> None:
        self.memory[offset : offset + len(data)] = data
        if offset in self.on_write:
            self.on_write[offset](int.from_bytes(data, "little"))

    def _read(self, offset: int, length: int) -> bytes:
        for word in range(offset, offset + length, 4):
            if word in self.on_read:
                self.put(word, self.on_read[word](self.word(word)))
        return bytes(self.memory[offset : offset + length])
