"""The transport to a card that a vfio-user server offers on a socket."""

from __future__ import annotations

import os

from pyvfio_user import SPIN, Client
from vmcoredd.driver.engine import EngineIo, EngineSpace

_BAR0, _CONFIG = 0, 7  # VFIO's region indexes


class Socket:
    """A connection to the server at `path`; see `pyvfio_user.Client` for deadlines and errors."""

    def __init__(
        self, path: str | os.PathLike[str], deadline: float = 5.0, spin: float = SPIN
    ) -> None:
        self.client = Client(path, deadline, spin)

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Registers and configuration space."""
        config = EngineSpace(self.client.io(_CONFIG), owner=self, pipelined=pipelined)
        bar0 = self.client.io(_BAR0)
        return EngineIo(bar0, config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Ends the connection; an `io` of it must not be used any more."""
        self.client.close()
