"""Transports: how the driver reaches a card.

A transport is a class with the two methods of `Transport`. `io()` returns an `EngineIo` over the
transport's `struct io`, so the rest of the package never learns which transport it uses. To add
one, implement the three C functions of `struct io` (inproc.c is the shortest example) and wrap
them here.
"""

from __future__ import annotations

import os
from typing import Protocol

from pyvfio_user import SPIN, Client
from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.driver.engine import EngineIo, EngineSpace
from vmcoredd.hw.io import Io, SingleIo

_BAR0, _CONFIG = 0, 7  # VFIO's region indexes


class Transport(Protocol):
    """A connection to one card."""

    def io(self, *, pipelined: bool = True) -> Io:
        """Returns access to registers and configuration space."""

    def close(self) -> None:
        """Closes the transport; its `io` must not be used afterwards."""


class Socket:
    """A connection to the vfio-user server at `path`.

    `deadline` (seconds), `spin` (seconds) and errors are those of `pyvfio_user.Client`.
    """

    def __init__(
        self, path: str | os.PathLike[str], deadline: float = 5.0, spin: float = SPIN
    ) -> None:
        self.client = Client(path, deadline, spin)

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        config = EngineSpace(self.client.io(_CONFIG), owner=self, pipelined=pipelined)
        bar0 = self.client.io(_BAR0)
        return EngineIo(bar0, config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Closes the connection."""
        self.client.close()


class LocalBar(Protocol):
    """A BAR that C code can access directly."""

    @property
    def access(self) -> tuple[int, int]:
        """A `region_access` function and its cookie, as integers."""


class LocalCard(Protocol):
    """A card in this process, such as `emu.Card`."""

    @property
    def bar0(self) -> LocalBar:
        """Registers and memory windows."""

    def config_read(self, offset: int, length: int) -> bytes:
        """Returns `length` bytes of configuration space."""

    def config_write(self, offset: int, data: bytes) -> None:
        """Writes configuration space."""


class Inproc:
    """A card in this process; the transport keeps `card` alive."""

    def __init__(self, card: LocalCard) -> None:
        self._inproc = ffi.new("struct inproc *")
        lib.inproc_init(self._inproc, *card.bar0.access)
        self._config = _ConfigSpace(card)

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        address = int(ffi.cast("uintptr_t", ffi.addressof(self._inproc, "io")))
        return EngineIo(address, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Does nothing: the caller owns the card."""


class _ConfigSpace(SingleIo):
    """Configuration space through Python calls: accesses are few, so C would gain nothing."""

    def __init__(self, card: LocalCard) -> None:
        self._card = card

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self._card.config_read(offset, width), "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self._card.config_write(offset, value.to_bytes(width, "little"))
