"""A connection that sends any bytes, and receives one message at a time within a deadline.

`Client` refuses to send what the protocol forbids, so the checks use this. Sources: libvfio-user's
docs/vfio-user.rst.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..protocol import Command

HEADER = struct.Struct("<HHIII")  # id, command, size, flags, error
TYPE_MASK, COMMAND, REPLY, NO_REPLY, ERROR = 0xF, 0x0, 0x1, 0x10, 0x20
MESSAGE_MAX = 1 << 24  # bytes of a reply; no check asks for as many
ANCILLARY = socket.CMSG_SPACE(64 * array.array("i").itemsize)


class Broken(Exception):
    """The server did something that no check expects. The text says what."""


class Closed(Broken):
    """The server closed the connection."""


class Silent(Broken):
    """The server did not send a whole message in time."""


@dataclass
class Reply:
    """A message from the server. Whoever holds it closes its descriptors."""

    id: int
    command: int
    flags: int
    error: int
    payload: bytes
    fds: list[int] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether the Error bit is set."""
        return bool(self.flags & ERROR)

    def close(self) -> None:
        """Closes the descriptors that came with the message."""
        while self.fds:
            os.close(self.fds.pop())


def message(
    command: int,
    payload: bytes = b"",
    *,
    identity: int = 1,
    flags: int = COMMAND,
    size: int | None = None,
) -> bytes:
    """Returns a message. `size` is what its header claims, in bytes; None: its true size."""
    claimed = HEADER.size + len(payload) if size is None else size
    return HEADER.pack(identity, command, claimed, flags, 0) + payload


class Wire:
    """One end of a connection. Every wait ends after `deadline` seconds."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._deadline = deadline
        self._ids = itertools.count(0x100)

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def end_sending(self) -> None:
        """Sends no more; what the server sends can still be received."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Sends bytes, with descriptors at the first. Raises Closed, Silent."""
        end = time.monotonic() + self._deadline
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while data:
            self._wait(select.POLLOUT, end, "the server takes no more bytes")
            try:
                sent = self._socket.sendmsg([data], rights)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Closed("the server closed the connection") from error
            data, rights = data[sent:], []

    def receive(self) -> Reply:
        """Returns the next message. Raises Closed, Silent, Broken."""
        end = time.monotonic() + self._deadline
        fds: list[int] = []
        try:
            header = self._exactly(HEADER.size, end, fds)
            identity, command, size, flags, error = HEADER.unpack(header)
            if not HEADER.size <= size <= MESSAGE_MAX:
                raise Broken(f"a message claims to have {size} bytes")
            payload = self._exactly(size - HEADER.size, end, fds)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        return Reply(identity, command, flags, error, payload, fds)

    def ask(
        self,
        command: int,
        payload: bytes = b"",
        *,
        fds: Sequence[int] = (),
        identity: int | None = None,
        size: int | None = None,
    ) -> Reply:
        """Sends a command and returns its reply, which may be an error. Raises Broken.

        What every reply has in common is verified: id, command, type.
        """
        identity = next(self._ids) & 0xFFFF if identity is None else identity
        self.send(message(command, payload, identity=identity, size=size), fds)
        return self.answer(command, identity)

    def answer(self, command: int, identity: int) -> Reply:
        """Returns the reply to a command that was sent. Refuses requests of the server's."""
        end = time.monotonic() + self._deadline
        while True:
            reply = self.receive()
            if reply.flags & TYPE_MASK != COMMAND:
                break
            reply.close()
            refusal = HEADER.pack(reply.id, reply.command, HEADER.size, REPLY | ERROR, 95)
            self.send(refusal)
            if time.monotonic() > end:
                raise Silent("the server sends requests instead of the reply")
        try:
            _verify(reply, command, identity)
        except Broken:
            reply.close()
            raise
        return reply

    def is_closed(self) -> bool:
        """Reads until the server closes the connection. False if it does not."""
        end = time.monotonic() + self._deadline
        fds: list[int] = []
        try:
            while True:
                self._some(65536, end, fds)
        except Closed:
            return True
        except Silent:
            return False
        finally:
            for fd in fds:
                os.close(fd)

    def _exactly(self, length: int, end: float, fds: list[int]) -> bytes:
        data = b""
        while len(data) < length:
            data += self._some(min(length - len(data), 1 << 20), end, fds)
        return data

    def _some(self, length: int, end: float, fds: list[int]) -> bytes:
        while True:
            self._wait(select.POLLIN, end, f"no reply within {self._deadline:g} s")
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    length, ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                continue
            except OSError as error:
                raise Closed("the server closed the connection") from error
            for _, kind, rights in ancillary:
                if kind == socket.SCM_RIGHTS:
                    whole = len(rights) - len(rights) % array.array("i").itemsize
                    fds += array.array("i", rights[:whole])
            if not data:
                raise Closed("the server closed the connection")
            return data

    def _wait(self, event: int, end: float, late: str) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
            raise Silent(late)


def _verify(reply: Reply, command: int, identity: int) -> None:
    name = Command(command).name if command in list(Command) else f"command {command}"
    if reply.flags & TYPE_MASK != REPLY:
        raise Broken(f"{name}: the reply's type is {reply.flags & TYPE_MASK}, not 1")
    if reply.id != identity:
        raise Broken(f"{name}: the reply's id is {reply.id:#x}, the command's {identity:#x}")
    if reply.command != command:
        raise Broken(f"{name}: the reply is to command {reply.command}")
