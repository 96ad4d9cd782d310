"""A card as the driver sees it: its regions, each behind a `region_access` (pyvfio_user/io.h)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cffi import FFI

import pyvfio_user

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BARS = (0, 2, 4)

#: A region in Python: (offset, length, None) returns what it reads, (offset, length, data) writes.
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
    """One region of a card and its size in bytes."""

    access: Function | Native
    size: int


@dataclass(frozen=True)
class Card:
    """What the driver sees of a card. Configuration space holds at least the ids."""

    bar0: Region
    config: Region
    bar2: Region | None = None
    bar4: Region | None = None

    def regions(self) -> Iterator[tuple[int, Region]]:
        """Each BAR that is there, with its number."""
        for bar, region in zip(BARS, (self.bar0, self.bar2, self.bar4), strict=True):
            if region:
                yield bar, region


class PythonRegion:
    """A `region_access` around a Python function; to be kept as long as it is in use.

    OSError refuses the access. After any other exception the access says that the card gave up, and
    `check` raises it.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._raised: BaseException | None = None
        self._callback: Any = ffi.callback(
            "region_access", self._access, error=NO_CARD, onerror=self._give_up
        )

    @property
    def native(self) -> Native:
        """The function and its cookie."""
        return int(ffi.cast("uintptr_t", self._callback)), 0

    def check(self) -> None:
        """Raises what the function raised."""
        if self._raised:
            raise self._raised

    def _access(self, _: Any, offset: int, data: Any, length: int, is_write: int) -> int:
        place = ffi.buffer(data, length)
        try:
            if is_write:
                self._function(offset, length, place[:])
            else:
                place[:] = self._function(offset, length, None)
        except OSError as error:
            return -(error.errno or errno.EIO)
        return 0

    def _give_up(self, _: object, error: BaseException, __: object) -> None:
        self._raised = error
