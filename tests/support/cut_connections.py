"""Stands between clients and servers, and cuts each connection after some bytes of replies."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from readable import readable

SECONDS = 30.0
"""Without a byte: longer than any test waits."""
Leg = tuple[Path, int | None]
"""Where a client's messages go, and after how many bytes of replies it is cut; None: never."""


@contextlib.contextmanager
def cut_connections(path: Path, legs: Sequence[Leg]) -> Iterator[None]:
    """Serves as many clients at `path` as there are legs, one after the other; then nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_accept, args=(listener, legs))
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)
            assert not thread.is_alive()


def _accept(listener: socket.socket, legs: Sequence[Leg]) -> None:
    with contextlib.suppress(OSError):
        for to, most in legs:
            client, _ = listener.accept()
            with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
                server.connect(str(to))
                _pass(client, server, most)
        listener.close()


def _pass(client: socket.socket, server: socket.socket, most: int | None) -> None:
    other = {client: server, server: client}
    while ready := readable([client, server], SECONDS):
        for source in ready:
            data = source.recv(1 << 16)
            if source is server and most is not None:
                data, most = data[:most], max(most - len(data), 0)
            if not data:
                return
            other[source].sendall(data)
            if most == 0:
                return
