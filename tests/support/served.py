"""Serves emulated cards on sockets, by threads of this process or by other processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyvfio_user import Server
from vmcoredd import emu
from vmcoredd.emu.server import attach
from vmcoredd.qemu.guest import Adapter


@contextlib.contextmanager
def here(folder: Path, cards: Sequence[emu.Card]) -> Iterator[list[Adapter]]:
    """Serves each card on its own socket while the context is open."""
    with contextlib.ExitStack() as servers:
        adapters = []
        for number, card in enumerate(cards):
            socket = folder / f"{number}.sock"
            server = servers.enter_context(Server(socket))
            attach(card, server)
            thread = threading.Thread(target=server.run)
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.stop)
            adapters.append(Adapter(socket))
        yield adapters


@contextlib.contextmanager
def elsewhere(folder: Path, card: str, *options: str) -> Iterator[tuple[Adapter, subprocess.Popen]]:
    """Serves a card by `vmcoredd emulate` in another process while the context is open."""
    socket, log = folder / "card.sock", folder / "emulate.log"
    command = [sys.executable, "-m", "vmcoredd", "emulate", "--card", card, "--socket", str(socket)]
    with (
        log.open("w") as errors,
        subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout.readline(), log.read_text()
            yield Adapter(socket, process.pid, log), process
        finally:
            process.terminate()
