"""The transport to a card in this process."""

from __future__ import annotations

from collections.abc import Callable

from driver._cffi import ffi, lib
from driver.engine import EngineIo

ConfigAccess = Callable[[int, int | bytes], bytes]
"""Takes an offset, and a number of bytes to read or the bytes to write."""


class Inproc:
    """Reaches BAR0 through `access`, a `region_access` and its cookie, both as integers."""

    def __init__(self, access: tuple[int, int], config: ConfigAccess, *, owner: object) -> None:
        self._inproc = ffi.new("struct inproc *")
        lib.inproc_init(self._inproc, *access)
        self._config = config
        self._owner = owner

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Registers and configuration space."""
        address = int(ffi.cast("uintptr_t", ffi.addressof(self._inproc, "io")))
        return EngineIo(address, self, owner=self, pipelined=pipelined)

    def config_read(self, offset: int, length: int) -> bytes:
        """Bytes of PCI configuration space."""
        return self._config(offset, length)

    def config_write(self, offset: int, data: bytes) -> None:
        """Bytes of PCI configuration space."""
        self._config(offset, data)
