"""Transports: how the driver reaches a card.

Those of real adapters are in `driver.real`. A transport is a class with the members of `Transport`.
`io()` returns an `EngineIo` over the transport's `struct io`, so the rest of the package never
learns which transport it uses. To add one, implement the three C functions of `struct io`
(inproc.c is the shortest example) and wrap them here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pyvfio_user import SPIN, Client, ConnectError, PeerDied
from vmcoredd.chip.pci import CONFIG_BYTES
from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.driver.engine import EngineIo, EngineSpace
from vmcoredd.hw.io import Io, SingleIo

_BAR0, _CONFIG = 0, 7  # VFIO's region indexes
RECONNECT_SECONDS = 3.0
"""How long to wait at most for a server whose connection was lost."""
_RETRY_SECONDS = 0.05


Reconnect = Callable[[Callable[[], None]], None]
"""Connects again, so that each `io` that was handed out works, and calls its argument, a check.

Raises `pyvfio_user.VfioUserError`, and the check's exception, after which every `io` fails."""


class Transport(Protocol):
    """A connection to one card."""

    def io(self, *, pipelined: bool = True) -> Io:
        """Returns access to registers and configuration space."""

    @property
    def config_bytes(self) -> int:
        """The size of configuration space: 256, or 4096 with PCIe's extended part."""

    @property
    def reconnect(self) -> Reconnect | None:
        """How to connect again; None if a lost connection stays lost."""

    @property
    def is_real(self) -> bool:
        """Whether this is hardware, to which nothing is written but what a dump needs: the probe
        leaves configuration space alone, and firmware is asked only by who attached to it."""

    def close(self) -> None:
        """Closes the transport; its `io` must not be used afterwards."""


class Socket:
    """A connection to the vfio-user server at `path`.

    `deadline` (seconds), `spin` (seconds) and errors are those of `pyvfio_user.Client`.
    """

    is_real = False

    def __init__(
        self, path: str | os.PathLike[str], deadline: float = 5.0, spin: float = SPIN
    ) -> None:
        self._connect = partial(Client, path, deadline, spin)
        self._patience = min(deadline, RECONNECT_SECONDS)
        self._spaces: list[tuple[int, EngineSpace]] = []
        self.client = self._connect()

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        config = EngineSpace(self.client.io(_CONFIG), owner=self, pipelined=pipelined)
        bar0 = self.client.io(_BAR0)
        made = EngineIo(bar0, config, owner=self, pipelined=pipelined)
        self._spaces += [(_CONFIG, config), (_BAR0, made)]
        return made

    @property
    def config_bytes(self) -> int:
        """See `Transport`."""
        return self.client.regions[_CONFIG].size

    def reconnect(self, check: Callable[[], None]) -> None:
        """See `Reconnect`. Tries for three seconds, or the deadline if that is shorter; the last
        try may take a deadline more."""
        self._disconnect()
        self.client = self._connected_again()
        for region, space in self._spaces:
            space.attach(self.client.io(region))
        try:
            check()
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        for _, space in self._spaces:
            space.detach()
        self.client.close()

    def _connected_again(self) -> Client:
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._connect()
            except (ConnectError, PeerDied):
                if time.monotonic() > end:
                    raise
                time.sleep(_RETRY_SECONDS)

    def close(self) -> None:
        """Closes the connection."""
        self._disconnect()
        self._spaces.clear()


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

    config_bytes = CONFIG_BYTES
    reconnect = None
    is_real = False

    def __init__(self, card: LocalCard) -> None:
        self._inproc = ffi.new("struct inproc *")
        lib.inproc_init(self._inproc, *card.bar0.access)
        self._config = _ConfigSpace(card)

    @property
    def address(self) -> int:
        """The address of its `struct io`, which lives as long as the transport."""
        return int(ffi.cast("uintptr_t", ffi.addressof(self._inproc, "io")))

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        return EngineIo(self.address, self._config, owner=self, pipelined=pipelined)

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
