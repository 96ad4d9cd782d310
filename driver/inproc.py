"""The transport to a card in this process."""

from __future__ import annotations

from collections.abc import Callable

from vmcoredd.driver._cffi import ffi, lib
from vmcoredd.driver.engine import EngineIo
from vmcoredd.hw.io import SingleIo

ConfigAccess = Callable[[int, int | bytes], bytes]
"""Takes an offset, and a number of bytes to read or the bytes to write."""


class Inproc:
    """Reaches BAR0 through `access`, a `region_access` and its cookie, both as integers."""

    def __init__(self, access: tuple[int, int], config: ConfigAccess, *, owner: object) -> None:
        self._inproc = ffi.new("struct inproc *")
        lib.inproc_init(self._inproc, *access)
        self._config = _ConfigSpace(config)
        self._owner = owner

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Registers and configuration space."""
        address = int(ffi.cast("uintptr_t", ffi.addressof(self._inproc, "io")))
        return EngineIo(address, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Nothing to end: the card belongs to its owner."""


class _ConfigSpace(SingleIo):
    """Configuration space behind a Python function; nobody waits for it, so it needs no C."""

    def __init__(self, access: ConfigAccess) -> None:
        self._access = access

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self._access(offset, width), "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self._access(offset, value.to_bytes(width, "little"))
