"""The server under test: connecting to it and, if its command is known, starting it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence

from ..connection import connect
from ..errors import ConnectError, ListenError
from ..listen import remove_stale
from ..protocol import VERSION, Capabilities, Command
from .wire import Broken, Closed, Silent, Wire

OFFER = Capabilities(max_fds=8)
PAUSE = 0.01  # seconds between two tries


class Gone(Exception):
    """The server accepts no connection. The text says why."""


class Target:
    """A server at `path`.

    `command` starts it: then each connection is to a new process, except those of
    `connect(same=True)`, so that servers of one client can be tested. Each wait, for the socket
    and for replies, ends after `deadline` seconds.
    """

    def __init__(self, path: str, deadline: float, command: Sequence[str] = ()) -> None:
        self.path = path
        self.deadline = deadline
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self.version = b""  # the payload of the last reply to VERSION

    def close(self) -> None:
        """Ends the process that this started, if any."""
        if not self._process:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def connect(self, *, same: bool = False) -> Wire:
        """Returns a connection without a negotiated version. Raises Gone.

        `same`: to the process that served the last connection.
        """
        if self._command and not same:
            self._start()
        end = time.monotonic() + self.deadline
        while True:
            try:
                return Wire(connect(self.path, self.deadline), self.deadline)
            except ConnectError as error:
                why = self._ended() or str(error)
                if time.monotonic() > end or (self._ended() and self._command):
                    raise Gone(why) from error
            time.sleep(PAUSE)

    def negotiated(self, *, same: bool = False) -> Wire:
        """Returns a connection with a negotiated version. Raises Gone.

        A server that ends with its client may still have a socket, whose connections it never
        serves: so this tries again, within the deadline.
        """
        end = time.monotonic() + self.deadline
        while True:
            wire = self.connect(same=same)
            try:
                reply = wire.ask(Command.VERSION, OFFER.message())
                if reply.refused:
                    raise Broken(f"the server refuses version 0.1 with error {reply.error}")
                self.version = reply.payload
                if len(reply.payload) < VERSION.size:
                    raise Broken(f"a version of {len(reply.payload)} bytes")
                return wire
            except Broken as error:
                wire.close()
                late = time.monotonic() > end or isinstance(error, Silent)
                if late or self._ended() or not isinstance(error, Closed):
                    raise Gone(self._ended() or str(error)) from error
            time.sleep(PAUSE)

    def death(self) -> str | None:
        """Returns how a process that this started has crashed, or None."""
        if not self._process:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # a crash takes a moment to show
        code = self._process.poll()
        return f"the server died of {signal.Signals(-code).name}" if code and code < 0 else None

    def ends_with_its_client(self) -> bool:
        """Returns whether the process has ended since its client left, as the protocol allows."""
        if not self._process:
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        return self._process.poll() is not None

    def exit_code(self) -> int:
        """Returns the code with which a process that this started has ended; 0 if it runs."""
        return (self._process.poll() or 0) if self._process else 0

    def _ended(self) -> str | None:
        code = self._process.poll() if self._process else None
        return None if code is None else f"its process has ended with code {code}"

    def _start(self) -> None:
        self.close()
        try:
            remove_stale(self.path)  # many servers do not
        except ListenError as error:
            raise Gone(str(error)) from error
        quiet = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet
            )
        except OSError as error:
            raise Gone(f"cannot start {self._command[0]}: {error.strerror}") from error
