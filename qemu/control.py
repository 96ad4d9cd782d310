"""The line between the host and a guest's `init`, and the watch on who must stay alive."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .errors import GuestTimeout, RunError

TICK = 0.25  # seconds between two calls of a wait's `tick`

Death = Callable[[], RunError]


class ControlLine:
    """Our end of the line. A wait ends with a line, at its deadline, or when a process ends.

    `console` is the log that the errors show.
    """

    def __init__(self, end: socket.socket, console: Path) -> None:
        self._end = end
        self._console = console
        self._lines: deque[str] = deque()
        self._partial = b""
        self._cleanup = contextlib.ExitStack()
        self._selector = self._cleanup.enter_context(selectors.DefaultSelector())
        self._selector.register(end, selectors.EVENT_READ, None)

    def watch(self, pid: int, death: Death) -> None:
        """From now on a wait raises `death()` as soon as process `pid` has ended."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            raise death() from None
        self._cleanup.callback(os.close, descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, death)

    def send(self, line: str) -> None:
        """Send a line. That the guest is gone is told by the next wait, with the reason."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(line.encode() + b"\n")

    def next_line(self, what: str, seconds: float, tick: Callable[[], None] = lambda: None) -> str:
        """The guest's next line; `tick` is called now and then. `what` is waited for.

        Raises GuestTimeout, RunError when the guest reports a failure, and what `watch` was given.
        """
        deadline = time.monotonic() + seconds
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestTimeout(what, seconds, self._console)
            for key, _ in self._selector.select(min(left, TICK)):
                self._react(key.data)
            tick()
        line = self._lines.popleft()
        if line.startswith("failed "):
            raise RunError(f"the guest says: {line.removeprefix('failed ')}", self._console)
        return line

    def close(self) -> None:
        """Stop watching, and close our end."""
        self._cleanup.close()
        self._end.close()

    def _react(self, death: Death | None) -> None:
        if death:
            raise death()
        with contextlib.suppress(ConnectionResetError):
            *lines, self._partial = (self._partial + self._end.recv(4096)).split(b"\n")
            self._lines.extend(line.decode(errors="replace").strip() for line in lines)
