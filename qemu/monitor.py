"""QEMU's monitor (QMP) for synchronous code: each call has a deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vmcoredd import debs

from .errors import GuestError

try:
    from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError
except ModuleNotFoundError as error:
    raise debs.ModuleMissing("qemu.qmp", "guests") from error

T = TypeVar("T")


class MonitorError(GuestError):
    """QEMU's monitor refused a command or did not answer."""


class MonitorTimeout(MonitorError):
    """QEMU's monitor did not answer in time."""


class Monitor:
    """A session with the monitor behind a connected socket, or behind a socket's path.

    Raises MonitorError if it does not answer within `seconds`.
    """

    def __init__(self, address: socket.socket | Path, seconds: float = 30.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = QMPClient()
        self._events = EventListener()
        self._client.register_listener(self._events)
        target = str(address) if isinstance(address, Path) else address
        try:
            self._wait("the monitor's greeting", self._client.connect(target), seconds)
        except MonitorError:
            self._loop.close()
            raise

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, seconds: float = 30.0
    ) -> Any:
        """Executes a command and returns QEMU's reply. Raises MonitorError."""
        return self._wait(command, self._client.execute(command, {**(arguments or {})}), seconds)

    def give_descriptor(self, name: str, descriptor: int) -> None:
        """Passes a file descriptor to QEMU, whose commands then accept it as `fd:name`."""

        async def give() -> None:
            self._client.send_fd_scm(descriptor)
            await self._client.execute("getfd", {"fdname": name})

        self._wait("getfd", give(), 30.0)

    def event(self, name: str, seconds: float) -> Message | None:
        """Returns the next event called `name`, or None after `seconds`. Drops other events."""

        async def find() -> Message:
            async for event in self._events:
                if event["event"] == name:
                    break
            return event

        try:
            return self._wait(name, find(), seconds)
        except MonitorTimeout:
            return None

    def close(self) -> None:
        """Ends the session; QEMU keeps running."""
        if self._loop.is_closed():
            return
        try:
            self._loop.run_until_complete(asyncio.wait_for(self._client.disconnect(), 5.0))
        except (QMPError, OSError, TimeoutError, EOFError):
            pass  # QEMU is gone, and the session with it
        finally:
            self._loop.close()

    def _wait(self, what: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, seconds))
        except ExecuteError as error:
            raise MonitorError(f"QEMU refuses {what}: {error}") from error
        except TimeoutError as error:
            raise MonitorTimeout(f"QEMU did not answer {what} within {seconds:g} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"QEMU's monitor failed at {what}: {error}") from error
