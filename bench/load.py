"""Loads on a link: reads and writes of a card's doorbell BAR, issued from C without pause."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyvfio_user import Client
from vmcoredd.bench._cffi import ffi, lib
from vmcoredd.chip.pci import Bar

BULK_BYTES = 32 << 10
"""Size of a bulk read."""
UNBOUNDED = 1 << 62
"""A depth: wait only at the end."""


class Load:
    """Loads on one region of a client; all methods return seconds per access."""

    def __init__(self, client: Client | int, region: int = Bar.DOORBELLS) -> None:
        """`client` may be the address of a `struct io`, too, which must outlive the load."""
        address = client if isinstance(client, int) else client.io(region)
        self._io = ffi.cast("struct io *", address)
        self._client = client  # it owns the io
        self._into = ffi.new("uint8_t[]", BULK_BYTES)

    def reads(
        self, n: int, *, depth: int = UNBOUNDED, bytes_each: int = 4, offset: int = 0
    ) -> float:
        """Makes `n` reads at `offset`, at most `depth` in flight, of `bytes_each` bytes each: 4, or
        a multiple of 8 up to `BULK_BYTES`.
        """
        width = 4 if bytes_each == 4 else 8
        count = bytes_each // width
        return _each(lib.load_reads(self._io, offset, self._into, width, count, n, depth), n)

    def writes(self, n: int, *, offset: int = 0) -> float:
        """Makes `n` posted writes of 4 bytes."""
        return _each(lib.load_writes(self._io, offset, n), n)


@contextmanager
def load(path: Path, *, spin: float, region: int = Bar.DOORBELLS) -> Iterator[Load]:
    """Connects to the server at `path`, and yields loads on one of its regions."""
    with Client(path, spin=spin) as client:
        yield Load(client, region)


@dataclass(frozen=True)
class Link:
    """The cost of messages and bytes on a socket, in seconds."""

    read: float
    """A pipelined read of 4 bytes."""
    write: float
    """A posted write of 4 bytes."""
    byte: float
    """A byte in bulk reads."""
    round_trip: float
    """A read of 4 bytes that is waited for."""


def link(path: Path, *, spin: float, n: int = 20_000) -> Link:
    """Measures the link to the server at `path` once."""
    with load(path, spin=spin) as loads:
        return Link(
            read=loads.reads(n),
            write=loads.writes(n),
            byte=loads.reads(n // 40, bytes_each=BULK_BYTES) / BULK_BYTES,
            round_trip=loads.reads(n // 20, depth=1),
        )


def _each(nanoseconds: int, n: int) -> float:
    if nanoseconds < 0:
        raise OSError(-nanoseconds, os.strerror(-nanoseconds))
    return nanoseconds / n / 1e9
