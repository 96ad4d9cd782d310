"""Serves cards on sockets from a thread of the tests' process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from pyvfio_user import Server
from vmcoredd import emu
from vmcoredd.emu.server import attach


@contextmanager
def served(card: emu.Card, path: Path, deadline: float = 5.0) -> Iterator[None]:
    """Serves a card on a socket."""
    with Server(path, deadline=deadline) as server:
        attach(card, server)
        with running(server):
            yield


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Runs a server."""
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()
