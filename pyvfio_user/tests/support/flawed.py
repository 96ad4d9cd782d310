"""A server with one flaw: a proxy in front of a good one that changes what passes through."""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vfio_peers import ERROR, HEADER, REPLY, Message, Peer

Flaw = Callable[[Message], list[Message]]
"""Returns what the client gets in place of a message of the server's."""


@dataclass
class Proxy:
    """Its flaws: `replies` changes messages of the server, `requests` bytes of the client.

    `keeps`: what it does with a descriptor before it passes it on.
    """

    replies: Flaw = lambda message: [message]
    requests: Callable[[bytes], bytes] = lambda data: data
    keeps: Callable[[int], object] = lambda fd: None

    @contextlib.contextmanager
    def serving(self, path: str, behind: str) -> Iterator[None]:
        """Listens at `path`, and connects each client to the server at `behind`."""
        kept: list[object] = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(8)
            thread = threading.Thread(target=self._accept, args=(listener, behind, kept))
            thread.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _accept(self, listener: socket.socket, behind: str, kept: list[object]) -> None:
        threads = []
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                break
            server = socket.socket(socket.AF_UNIX)
            server.connect(behind)
            for run in (self._forward, self._backward):
                threads.append(threading.Thread(target=run, args=(client, server, kept)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _forward(self, client: socket.socket, server: socket.socket, kept: list[object]) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, fds, _, _ = socket.recv_fds(client, 1 << 16, 16)
                kept += [self.keeps(fd) for fd in fds]
                if not data:
                    break
                data = self.requests(data)
                if fds:
                    socket.send_fds(server, [data[:1]], fds)
                    data = data[1:]
                for fd in fds:
                    os.close(fd)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _backward(self, client: socket.socket, server: socket.socket, kept: list[object]) -> None:
        peer = Peer(server)
        with contextlib.suppress(OSError, EOFError), client, server:
            while True:
                for message in self.replies(peer.receive()):
                    header = HEADER.pack(
                        message.id,
                        message.command,
                        HEADER.size + len(message.payload),
                        message.flags,
                        message.error,
                    )
                    client.sendmsg([header + message.payload], rights(message.fds))
                    for fd in message.fds:
                        os.close(fd)


def rights(fds: list[int]) -> list[tuple[int, int, array.array[int]]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []


def changed(**fields: object) -> Flaw:
    """A flaw that sets fields of every message after the version."""
    return lambda m: [m if m.command == 1 else replace(m, **fields)]  # type: ignore[arg-type]


def accepts_everything(message: Message) -> list[Message]:
    return [replace(message, flags=REPLY, error=0)]


def confuses_errors(message: Message) -> list[Message]:
    return [replace(message, error=message.error and 22)]


def explains_errors(message: Message) -> list[Message]:
    return [replace(message, payload=b"why") if message.flags & ERROR else message]


def cuts(message: Message) -> list[Message]:
    return [message if message.command == 1 else replace(message, payload=message.payload[:-1])]


def swallows(message: Message) -> list[Message]:
    return [message] if message.command == 1 else []


def refuses(command: int) -> Flaw:
    """A flaw that refuses one command."""
    refusal = {"flags": REPLY | ERROR, "error": 22, "payload": b""}
    return lambda m: [replace(m, **refusal) if m.command == command else m]  # type: ignore[arg-type]


def says_version(payload: bytes) -> Flaw:
    """A flaw in the reply to a version."""
    return lambda m: [replace(m, payload=payload) if m.command == 1 else m]


def wants_replies(data: bytes) -> bytes:
    """Clears the No_reply bit of the first message."""
    return data[:8] + bytes([data[8] & ~0x10]) + data[9:] if len(data) > 8 else data


def loses_payloads(data: bytes) -> bytes:
    """Clears the last byte of what arrives together, unless that is a version."""
    return data if data[2:4] == b"\1\0" or len(data) < 33 else data[:-1] + b"\0"


def keeps_memory(fd: int) -> object:
    """Maps a file, and keeps the mapping."""
    return mmap.mmap(fd, 0) if os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd") else None
