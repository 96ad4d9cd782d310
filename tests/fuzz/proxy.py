"""A server's replies, spoiled on their way: stands between a client and a good server.

Requests pass unchanged. The replies named in a plan are changed, each in one way.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vfio_peers import HEADER

from tests.fuzz.case import Case
from tests.fuzz.descriptors import Descriptors

HEADER_WORDS = {"id and command": 0, "size": 4, "flags": 8, "error": 12}
"""Where each word of a message's header is."""
FDS = 16


class Cut(Exception):
    """The connection ends."""


class Proxy:
    """One client's connection to the server at `to`; `plan` lists what becomes of which reply."""

    def __init__(self, client: socket.socket, to: Path, plan: list[Case]) -> None:
        self._client = client
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.connect(str(to))
        self._plan = {step["at"]: step for step in plan}
        self._replies = 0
        self._rest = b""
        self._fds: list[int] = []
        self._descriptors = Descriptors()

    def run(self) -> None:
        """Passes messages on until either end leaves."""
        poll = select.poll()
        with self._client, self._server, contextlib.suppress(OSError, Cut):
            for end in (self._client, self._server):
                poll.register(end, select.POLLIN)
            while True:
                ready = [number for number, _ in poll.poll()]
                if self._client.fileno() in ready:
                    self._pass(self._client, self._server.sendall, self._server)
                if self._server.fileno() in ready:
                    self._pass(self._server, self._replied, self._client)
        self._descriptors.close()

    def _pass(
        self, source: socket.socket, take: Callable[[bytes], None], to: socket.socket
    ) -> None:
        """Passes what has arrived on; its descriptors go first, with the first byte that goes."""
        data, self._fds, _, _ = socket.recv_fds(source, 1 << 18, FDS)
        try:
            if not data:
                raise Cut
            if to is self._server and self._fds:
                data = data[socket.send_fds(to, [data], self._fds) :]
            take(data)
        finally:
            while self._fds:
                os.close(self._fds.pop())

    def _send(self, data: bytes) -> None:
        """Sends to the client, with the descriptors that have just arrived."""
        if data and self._fds:
            data = data[socket.send_fds(self._client, [data], self._fds) :]
        self._client.sendall(data)

    def _replied(self, data: bytes) -> None:
        data, self._rest = self._rest + data, b""
        passed, at = [], 0
        while at < len(data):
            if len(data) - at < HEADER.size:
                break
            end = at + HEADER.unpack_from(data, at)[2]
            if end > len(data):
                break
            passed.append(self._spoiled(data[at:end], passed))
            at = end
        self._rest = data[at:]
        self._send(b"".join(passed))

    def _spoiled(self, reply: bytes, before: list[bytes]) -> bytes:
        step = self._plan.get(self._replies)
        self._replies += 1
        if step is None:
            return reply
        self._send(b"".join(before))
        before.clear()
        return WAYS[step["how"]](self, reply, step)

    def word(self, reply: bytes, step: Case) -> bytes:
        at = step["word"] * 4 % max(len(reply) - 3, 1) & ~3
        return reply[:at] + struct.pack("<I", step["value"]) + reply[at + 4 :]

    def header(self, reply: bytes, step: Case) -> bytes:
        at = HEADER_WORDS[step["field"]]
        return reply[:at] + struct.pack("<I", step["value"]) + reply[at + 4 :]

    def cut(self, reply: bytes, step: Case) -> bytes:
        self._client.sendall(reply[: step["value"] % len(reply)])
        raise Cut

    def resized(self, reply: bytes, step: Case) -> bytes:
        """The payload gets shorter or longer, and the header says so."""
        payload = (reply[HEADER.size :] + bytes(64))[: step["value"] % (len(reply) + 48)]
        identity, command, _, flags, error = HEADER.unpack_from(reply)
        return HEADER.pack(identity, command, HEADER.size + len(payload), flags, error) + payload

    def late(self, reply: bytes, step: Case) -> bytes:
        time.sleep(step["seconds"])  # the lateness itself, which the client must bear
        return reply

    def descriptors(self, reply: bytes, step: Case) -> bytes:
        fds = [self._descriptors(kind) for kind in step["fds"]]
        sent = socket.send_fds(self._client, [reply], fds)
        return reply[sent:]

    def request(self, reply: bytes, step: Case) -> bytes:
        """The server asks something of the client first: DMA_READ is 11, DMA_WRITE 12."""
        payload = struct.pack("<QQ", step["value"], 64) + bytes(64)
        ask = HEADER.pack(9, step["word"], HEADER.size + len(payload), 0, 0) + payload
        return ask + reply


WAYS: dict[str, Callable[[Proxy, bytes, Case], bytes]] = {
    "word": Proxy.word,
    "header": Proxy.header,
    "cut": Proxy.cut,
    "resized": Proxy.resized,
    "late": Proxy.late,
    "descriptors": Proxy.descriptors,
    "request": Proxy.request,
    "nothing": lambda proxy, reply, step: b"",
    "twice": lambda proxy, reply, step: reply * 2,
    "noise": lambda proxy, reply, step: bytes.fromhex(step["noise"]),
}


@contextlib.contextmanager
def proxied(path: Path, to: Path, plan: list[Case]) -> Iterator[None]:
    """A proxy at `path` for all clients; the plan spoils only the replies to the first one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen(4)
        thread = threading.Thread(target=_accept, args=(listener, to, plan))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, to: Path, plan: list[Case]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            Proxy(client, to, plan).run()
            plan = []
