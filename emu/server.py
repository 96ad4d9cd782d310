"""A card behind a vfio-user socket, for QEMU guests and for drivers in other processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chip.pci import Bar
from emu.card import Card
from emu.config_space import MSIX_VECTORS
from pyvfio_user import Area, NativeAccess, ResetReason, Server

WINDOW_PAGE = (0x1B000, 0x1000)
"""The page of memory window 0, by offset and length: the one area that clients may map."""


@contextmanager
def serving(
    card: Card,
    path: str | os.PathLike[str],
    *,
    mode: int = 0o600,
    owner: str | int | None = None,
    deadline: float = 5.0,
) -> Iterator[Server]:
    """A server of `card` at `path`, to which clients may connect; nothing is left of it behind.

    `run()` serves them, one after the other. ListenError, ServerUnavailable.
    """
    with Server(path, mode=mode, owner=owner, deadline=deadline) as server:
        _regions(server, card)
        server.config_space(card.config, _config_access(card))
        server.irqs(msix=MSIX_VECTORS)
        server.on_reset = _on_reset(card)
        yield server


def serve(
    card: Card,
    path: str | os.PathLike[str],
    *,
    ready: Callable[[], None] | None = None,
    mode: int = 0o600,
    owner: str | int | None = None,
    deadline: float = 5.0,
) -> None:
    """Serves `card` at `path` until SIGTERM or SIGINT; `ready` is called once clients may come.

    For the main thread. Errors as `serving`.
    """
    with (
        serving(card, path, mode=mode, owner=owner, deadline=deadline) as server,
        server.stopped_by(signal.SIGTERM, signal.SIGINT),
    ):
        if ready:
            ready()
        server.run()


def _regions(server: Server, card: Card) -> None:
    bars = ((Bar.REGISTERS, card.bar0), (Bar.DOORBELLS, card.bar2), (Bar.MSIX, card.bar4))
    for bar, access in bars:
        area = None
        if bar == Bar.REGISTERS and card.map_window:
            offset, length = WINDOW_PAGE
            area = Area(card.core.memfds[bar].fd, offset, offset, length)
        server.region(
            bar,
            card.bars[bar],
            NativeAccess(*access.access),
            bits64=True,
            prefetch=bar == Bar.DOORBELLS,
            mmap=area,
        )


def _config_access(card: Card) -> Callable[[int, memoryview, bool], None]:
    def access(offset: int, data: memoryview, is_write: bool) -> None:
        if is_write:
            card.config_access(offset, bytes(data))
        else:
            data[:] = card.config_access(offset, len(data))

    return access


def _on_reset(card: Card) -> Callable[[ResetReason], None]:
    def reset(reason: ResetReason) -> None:
        """A client that is gone leaves the card as it is: a crash kernel must find it so."""
        if reason != ResetReason.LOST_CONNECTION:
            card.reset()

    return reset
