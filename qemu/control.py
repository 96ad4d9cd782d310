"""The control line between the host and a guest's `init`, and the processes a guest needs."""

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

TICK = 0.25  # seconds between calls of `on_tick` during a wait

Death = Callable[[], RunError]


class ControlLine:
    """The host's end. A line, the deadline, or the end of a watched process ends a wait.

    Errors quote the end of `console`, the guest's log.
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
        """Makes every wait raise `death()` once process `pid` has ended."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            raise death() from None
        self._cleanup.callback(os.close, descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, death)

    def send(self, line: str) -> None:
        """Sends a line. If the guest is gone, the next wait raises the reason."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(line.encode() + b"\n")

    def next_line(
        self, what: str, seconds: float, on_tick: Callable[[], None] = lambda: None
    ) -> str:
        """Returns the guest's next line, which errors call `what`.

        Calls `on_tick` every TICK or sooner.

        Raises GuestTimeout, RunError if the guest reports a failure, and the errors of `watch`.
        """
        deadline = time.monotonic() + seconds
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestTimeout(what, seconds, self._console)
            for key, _ in self._selector.select(min(left, TICK)):
                self._react(key.data)
            on_tick()
        line = self._lines.popleft()
        if line.startswith("failed "):
            raise RunError(f"the guest reports: {line.removeprefix('failed ')}", self._console)
        return line

    def close(self) -> None:
        """Stops watching and closes the host's end."""
        self._cleanup.close()
        self._end.close()

    def _react(self, death: Death | None) -> None:
        if death:
            raise death()
        with contextlib.suppress(ConnectionResetError):
            *lines, self._partial = (self._partial + self._end.recv(4096)).split(b"\n")
            self._lines.extend(line.decode(errors="replace").strip() for line in lines)
