"""A client's connection: the socket, the C core over it, and its errors as exceptions."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from . import protocol
from ._client import ffi, lib
from .errors import ConnectError, ConnectionLost, PeerDied, ProtocolError, Refused, Timeout
from .protocol import Capabilities, Command

REPLY_MAX = 65536  # bytes of a reply, region reads excepted


@dataclass(frozen=True)
class Counters:
    """Counts of the traffic so far. A round trip is one wait, for any number of replies."""

    messages: int
    sends: int
    round_trips: int
    bytes_sent: int
    bytes_received: int


class Connection:
    """A connection to the server at `path`, with the version negotiated."""

    def __init__(self, path: str, deadline: float, spin: float) -> None:
        self.path = path
        self.deadline = deadline
        self._socket = connect(path, deadline)
        self._core = lib.client_create(
            self._socket.fileno(), max(1, round(deadline * 1000)), round(spin * 1e6)
        )
        if not self._core:
            self._socket.close()
            raise MemoryError
        try:
            self.capabilities = self._negotiate()
        except BaseException:
            self.close()
            raise
        limit = min(self.capabilities.max_transfer, protocol.MAX_TRANSFER)
        lib.client_set_limits(self._core, limit, self.capabilities.write_multiple)

    @property
    def core(self) -> Any:
        """The `struct client *`. Raises PeerDied after `close`."""
        if not self._core:
            raise PeerDied(self.path, "this client is closed")
        return self._core

    @property
    def counters(self) -> Counters:
        """Counts of the traffic so far."""
        counts = lib.client_counters(self.core)
        return Counters(*(getattr(counts, field.name) for field in fields(Counters)))

    def close(self) -> None:
        """Ends the connection. May be called twice."""
        if self._core:
            lib.client_destroy(self._core)
            self._core = ffi.NULL
        self._socket.close()

    def request(
        self, command: Command, payload: bytes = b"", least: int = 0, fds: Sequence[int] = ()
    ) -> bytes:
        """Sends a command whose reply has at least `least` bytes and no descriptors."""
        reply, unexpected = self.call(command, payload, fds)
        for fd in unexpected:
            os.close(fd)
        if len(reply) < least:
            raise ProtocolError(command.name, f"a reply of {len(reply)} bytes, needs {least}")
        return reply

    def call(
        self, command: Command, payload: bytes, fds: Sequence[int] = ()
    ) -> tuple[bytes, list[int]]:
        """Sends a command; returns its reply. The caller owns the reply's descriptors."""
        reply = ffi.new("uint8_t[]", REPLY_MAX)
        reply_fds = ffi.new("int[]", protocol.MAX_FDS)
        count = ffi.new("uint32_t *", protocol.MAX_FDS)
        done = lib.client_call(
            self.core,
            command,
            ffi.from_buffer(payload),
            len(payload),
            ffi.new("int[]", list(fds)),
            len(fds),
            reply,
            REPLY_MAX,
            reply_fds,
            count,
        )
        self.check(done, command.name)
        return bytes(ffi.buffer(reply, done)), list(reply_fds[0 : count[0]])

    def check(self, done: int, what: str) -> None:
        """Raises the exception for an error `done` from the core; `what` names the operation."""
        if done >= 0:
            return
        lost = -lib.client_failed(self._core)
        if lost == errno.ETIMEDOUT:
            raise Timeout(what, self.deadline)
        if lost == errno.EPROTO:
            raise ProtocolError(what)
        if lost == errno.EIO:
            raise PeerDied(what)
        if lost:
            raise ConnectionLost(what, os.strerror(lost))
        raise Refused(what, -done)

    def _negotiate(self) -> Capabilities:
        ours = Capabilities(
            max_transfer=protocol.MAX_DMA_TRANSFER, max_fds=protocol.MAX_FDS, write_multiple=True
        )
        reply = self.request(Command.VERSION, ours.message())
        try:
            return Capabilities.parse(reply)
        except ValueError as error:
            raise ProtocolError("version", str(error)) from error


def connect(path: str, deadline: float) -> socket.socket:
    """Returns a socket connected to the server at `path`. Raises ConnectError."""
    length = len(os.fsencode(path))
    if length > protocol.PATH_MAX:
        why = f"the path has {length} bytes, a socket's may have {protocol.PATH_MAX}"
        raise ConnectError(path, why, errno.ENAMETOOLONG)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # the server's queue may be full; with Python's own timeout connect() would not wait
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(deadline))
        connection.connect(path)
    except BlockingIOError as error:
        connection.close()
        why = f"not accepted within {deadline:g} s"
        raise ConnectError(path, why, errno.ETIMEDOUT) from error
    except OSError as error:
        connection.close()
        raise ConnectError(path, os.strerror(error.errno or 0), error.errno or 0) from error
    return connection


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, min(999_999, max(1, round((seconds - whole) * 1e6))))
