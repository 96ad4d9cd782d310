"""Cards and device dumps that are small enough to be made often."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from pyvfio_user import Server
from tests.support.cliruns import SMALL_CARD
from vmcoredd import cudbg, emu
from vmcoredd.cudbg.decoded import Table, Text
from vmcoredd.cudbg.errors import CudbgError
from vmcoredd.emu.server import attach


def profile(folder: Path) -> Path:
    """Writes the profile of a small T6; returns its path."""
    path = folder / "small.toml"
    path.write_text(SMALL_CARD)
    return path


@contextmanager
def served(card: emu.Card, path: Path) -> Iterator[None]:
    """Serves a card on a socket, from a thread of this process."""
    with Server(path, deadline=0.5) as server:
        attach(card, server)
        with running(server):
            yield


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Runs a server in a thread."""
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def good(dump: cudbg.Dump) -> set[str]:
    """Returns the names of the entities with data."""
    return {entity.name for entity in dump.entities if entity.good}


def decode(dump: cudbg.Dump) -> None:
    """Decodes every entity, to the last row.

    A decoder may refuse content as damaged; anything else that it raises is raised here.
    """
    for entity in dump.entities:
        with suppress(CudbgError):
            for part in dump.decode(entity.name):
                content = part.rows if isinstance(part, Table) else ()
                content = part.lines if isinstance(part, Text) else content
                for _ in content:
                    pass
