"""The transport to a card in this process."""

from __future__ import annotations

from typing import Protocol

from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.driver.engine import EngineIo
from vmcoredd.hw.io import SingleIo


class CardConfig(Protocol):
    """A card with a configuration space."""

    def config_read(self, offset: int, length: int) -> bytes:
        """Returns `length` bytes."""

    def config_write(self, offset: int, data: bytes) -> None:
        """Writes bytes."""


class Inproc:
    """Reaches BAR0 through `access`, a `region_access` and its cookie, both as integers.

    `card` has the configuration space, and is kept alive: the cookie points into it.
    """

    def __init__(self, access: tuple[int, int], card: CardConfig) -> None:
        self._inproc = ffi.new("struct inproc *")
        lib.inproc_init(self._inproc, *access)
        self._config = _ConfigSpace(card)

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Registers and configuration space."""
        address = int(ffi.cast("uintptr_t", ffi.addressof(self._inproc, "io")))
        return EngineIo(address, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Nothing to end: the card belongs to its owner."""


class _ConfigSpace(SingleIo):
    """Configuration space behind a Python function; nobody waits for it, so it needs no C."""

    def __init__(self, card: CardConfig) -> None:
        self._card = card

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self._card.config_read(offset, width), "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self._card.config_write(offset, value.to_bytes(width, "little"))
