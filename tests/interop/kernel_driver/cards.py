"""A card as the driver sees it: regions behind `region_access` functions (pyvfio_user/io.h).

`load` makes one of an emulated card, or of plain memory.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cffi import FFI

import pyvfio_user

HERE = Path(__file__).resolve().parent
BARS = (0, 2, 4)
CONFIG_BYTES = 0x1000

#: A region in Python: (offset, length, None) returns the data read, (offset, length, data) writes.
Function = Callable[[int, int, bytes | None], bytes | None]
#: A `region_access` and its cookie, as addresses.
Native = tuple[int, int]


def _declarations() -> FFI:
    ffi = FFI()
    for header in (Path(pyvfio_user.get_include()) / "pyvfio_user/io.h", HERE / "witness.h"):
        ffi.cdef(header.read_text())
    return ffi


ffi = _declarations()
NO_CARD = -125  # WITNESS_NO_CARD


@dataclass(frozen=True)
class Region:
    """One region of a card; `size` in bytes."""

    access: Function | Native
    size: int


@dataclass(frozen=True)
class Card:
    """The regions that the driver sees. Configuration space holds at least the ids."""

    bar0: Region
    config: Region
    bar2: Region | None = None
    bar4: Region | None = None

    def regions(self) -> Iterator[tuple[int, Region]]:
        """Yields the number and region of each BAR that the card has."""
        for bar, region in zip(BARS, (self.bar0, self.bar2, self.bar4), strict=True):
            if region:
                yield bar, region


class PythonRegion:
    """A `region_access` that calls a Python function. Keep the object while it is in use.

    An OSError refuses the access. Any other exception ends the run, and `check` raises it.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._raised: BaseException | None = None
        self._callback: Any = ffi.callback(
            "region_access", self._access, error=NO_CARD, onerror=self._give_up
        )

    @property
    def native(self) -> Native:
        """The addresses of the function and its cookie."""
        return int(ffi.cast("uintptr_t", self._callback)), 0

    def check(self) -> None:
        """Raises the exception that ended the run, if any."""
        if self._raised:
            raise self._raised

    def _access(self, _: Any, offset: int, data: Any, length: int, is_write: int) -> int:
        buffer = ffi.buffer(data, length)
        try:
            if is_write:
                self._function(offset, length, buffer[:])
            else:
                buffer[:] = self._function(offset, length, None)
        except OSError as error:
            return -(error.errno or errno.EIO)
        return 0

    def _give_up(self, _: object, error: BaseException, __: object) -> None:
        self._raised = error


class CardError(Exception):
    """No card has this name."""


def emulated(card: Any) -> Card:
    """Wraps an `emu.Card`; its BARs are accessed through their C entry points."""

    def config_access(offset: int, length: int, data: bytes | None) -> bytes | None:
        if data is None:
            return bytes(card.config_read(offset, length))
        card.config_write(offset, data)
        return None

    bars = {
        f"bar{bar}": Region(getattr(card, f"bar{bar}").access, card.bars[bar])
        for bar in BARS
        if card.bars.get(bar)
    }
    return Card(**bars, config=Region(config_access, CONFIG_BYTES))


def load(name: str, seed: int = 0, faults: Iterable[str] = ()) -> tuple[Card, object]:
    """Returns `ram-t5`, `ram-t6` or an emulated card, and an object that keeps it alive.

    Raises CardError.
    """
    from .ram_card import RamCard

    if name in ("ram-t5", "ram-t6"):
        ram = RamCard(int(name[-1]), edc=2, mc=8)
        return ram.card, ram
    from vmcoredd import emu

    try:
        card = emu.Card.load(name, seed=seed, faults=faults)
    except emu.EmuError as error:
        raise CardError(str(error)) from error
    return emulated(card), card
