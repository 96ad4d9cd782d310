"""Scripted peers of a vfio-user connection, which send whatever a test needs.

Their protocol follows libvfio-user's docs/vfio-user.rst and shares nothing with the package.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HEADER = struct.Struct("<HHIII")  # id, command, size, flags, error
ACCESS = struct.Struct("<QII")  # offset, region, count
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS = 1, 2, 3, 4, 5, 6
GET_IRQ_INFO, SET_IRQS, READ, WRITE, RESET, DIRTY_PAGES, WRITE_MULTI = 7, 8, 9, 10, 13, 14, 15
PATIENCE = 10.0


@dataclass
class Message:
    id: int
    command: int
    flags: int
    error: int
    payload: bytes
    fds: list[int] = field(default_factory=list)


def message(
    command: int,
    payload: bytes = b"",
    *,
    id: int = 1,
    flags: int = 0,
    error: int = 0,
    size: int | None = None,
) -> bytes:
    """Returns a message; the `size` in its header may be wrong."""
    claimed = HEADER.size + len(payload) if size is None else size
    return HEADER.pack(id, command, claimed, flags, error) + payload


class Peer:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)

    def wait_until_taken(self) -> None:
        """Waits until the other end has received all that was sent."""
        end = time.monotonic() + PATIENCE
        left = struct.Struct("i")
        while left.unpack(fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(left.size)))[0]:
            assert time.monotonic() < end, "nobody receives"
            time.sleep(0.001)

    def send(self, data: bytes, fds: list[int] | None = None) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds or []))]
        sent = self.socket.sendmsg([data], rights if fds else [])
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def _exactly(self, length: int, fds: list[int]) -> bytes:
        data = b""
        while len(data) < length:
            part, ancillary, _, _ = self.socket.recvmsg(length - len(data), 4096)
            for _, _, rights in ancillary:
                fds += array.array("i", rights)
            if not part:
                raise EOFError(f"{len(data)} of {length} bytes")
            data += part
        return data

    def receive(self) -> Message:
        """Returns the next message. Raises EOFError when the other end is gone."""
        fds: list[int] = []
        identity, command, size, flags, error = HEADER.unpack(self._exactly(HEADER.size, fds))
        payload = self._exactly(size - HEADER.size, fds)
        return Message(identity, command, flags, error, payload, fds)

    def ask(self, command: int, payload: bytes = b"", **options: object) -> Message:
        self.send(message(command, payload, **options))  # type: ignore[arg-type]
        return self.receive()

    def answer(
        self, to: Message, payload: bytes = b"", *, error: int = 0, fds: list[int] | None = None
    ) -> None:
        flags = REPLY | (ERROR if error else 0)
        self.send(message(to.command, payload, id=to.id, flags=flags, error=error), fds)

    def negotiate(self) -> Message:
        """Negotiates the version as a client."""
        text = b'{"capabilities":{"max_msg_fds":8}}\0'
        return self.ask(VERSION, struct.pack("<HH", 0, 1) + text)

    def accept_version(self, text: bytes = b"") -> Message:
        """Negotiates the version as a server."""
        asked = self.receive()
        self.answer(asked, struct.pack("<HH", 0, 1) + text)
        return asked

    def is_cut_off(self) -> bool:
        """Returns whether the other end closes the connection before the peers' deadline."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


@contextlib.contextmanager
def raw_client(path: str) -> Iterator[Peer]:
    """A connection to the server at `path`, without a negotiated version."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        yield Peer(connection)


@contextlib.contextmanager
def scripted_server(path: str, script: Callable[[Peer], object]) -> Iterator[None]:
    """A server at `path` that accepts one client and runs `script` with it."""
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                script(Peer(connection))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass  # the client hung up
        except BaseException as error:  # noqa: BLE001 - the test's thread reports it
            failures.append(error)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.settimeout(PATIENCE)
        listener.bind(path)
        listener.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()
    if failures:
        raise failures[0]


def read_request(asked: Message) -> tuple[int, int, int]:
    """Returns a region read's offset, region and count."""
    offset, region, count = ACCESS.unpack(asked.payload)
    return offset, region, count


def serve_memory(peer: Peer, memory: bytearray, text: bytes = b"") -> None:
    """Serves one region of memory correctly until the client leaves."""
    peer.accept_version(text)
    with contextlib.suppress(EOFError):
        while True:
            asked = peer.receive()
            offset, region, count = ACCESS.unpack_from(asked.payload)
            span = slice(offset, offset + count)
            access = ACCESS.pack(offset, region, count)
            if asked.command == READ:
                peer.answer(asked, access + memory[span])
            elif asked.command == WRITE:
                memory[span] = asked.payload[ACCESS.size :]
                if not asked.flags & NO_REPLY:
                    peer.answer(asked, access)
