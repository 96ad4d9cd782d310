"""The control socket and its clients, all served by one thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any

from pyvfio_user import LimitedLog, ListenError, listen
from vmcoredd.emu.control.protocol import (
    LINE,
    VERSION,
    BadRequest,
    Request,
    Runs,
    encoded,
    identity,
    parse,
    request,
)
from vmcoredd.emu.control.state import Served
from vmcoredd.emu.control.verbs import VERBS
from vmcoredd.emu.errors import EmuError
from vmcoredd.plural import counted
from vmcoredd.trace.records import Kind, Source

log = logging.getLogger("emu.control")

CLIENTS = 16
"""Clients at most. One more takes the place of the one that has asked for nothing for longest."""
PATIENCE = 5.0
"""Seconds that a request waits for the thread that serves the card."""
READING = 10.0
"""Seconds that a client may take to read an answer."""
LAST_ANSWERS = 1.0
"""Seconds that answers may take when the server ends."""


class Control(contextlib.AbstractContextManager["Control"]):
    """A control socket at `path`, open until the end of the context. Made, it listens.

    `mode` and `owner` are the socket's, `patience` the seconds that a request waits for the card.
    End the context after `Server.run` has returned. Raises ListenError.
    """

    def __init__(
        self,
        served: Served,
        path: str | os.PathLike[str],
        mode: int = 0o600,
        owner: str | int | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.path, self.served, self.patience = os.fspath(path), served, patience
        self._log = LimitedLog(log)
        self._clients: dict[asyncio.Task[Any], _Client] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(1, "control socket's traces"))
        self._ending = asyncio.Event()
        try:
            self._socket = _listening(self.path, mode, owner)
        except BaseException:
            self._loop.close()
            raise
        self._made = listen.identity(self.path)
        self._thread = threading.Thread(target=self._run, name="control socket")
        self._thread.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        listen.remove(self.path, self._made)
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self.served.closing.close()
        self._log.flush()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        """Serves clients until the end; those that wait for an answer then get it, if it comes."""
        server = await asyncio.start_unix_server(self._client, sock=self._socket, limit=LINE)
        await self._ending.wait()
        server.close()
        answering = [task for task, client in self._clients.items() if client.asks]
        if answering:
            await asyncio.wait(answering, timeout=LAST_ANSWERS)
        for client in self._clients.values():
            client.cut()
        if self._clients:
            await asyncio.wait([*self._clients], timeout=LAST_ANSWERS)

    # One client

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._make_room()
        client = self._clients[task] = _Client(task, reader, writer)
        try:
            await client.send(self._greeting())
            while line := await client.line():
                await client.send(await self._answer(line))
        except _Unreadable as error:
            with contextlib.suppress(OSError, TimeoutError):
                await client.send(_refusal(str(error)))
        except (OSError, TimeoutError, asyncio.CancelledError) as error:
            log.debug("a client of %s is gone: %r", self.path, error)
        finally:
            del self._clients[task]
            writer.transport.abort() if client.waits else writer.close()

    def _make_room(self) -> None:
        """Cuts off the client that has been idle for longest, or has been here for longest.

        Those that are cut off are here until their tasks run.
        """
        here = [client for client in self._clients.values() if not client.is_cut]
        if len(here) < CLIENTS:
            return
        min(here, key=lambda client: (client.asks, client.since)).cut()
        self._log.warning("%s: more than %s; one is cut off", self.path, counted(CLIENTS, "client"))

    def _greeting(self) -> dict[str, Any]:
        """Returns what tells this socket from an adapter's, which says nothing at first."""
        card = self.served.card
        return {
            "version": VERSION,
            "command": "control",
            "event": "ready",
            "card": card.profile.name,
            "socket": os.path.abspath(self.served.server.path),
        }

    # One request

    async def _answer(self, line: bytes) -> dict[str, Any]:
        who: dict[str, Any] = {}
        try:
            value = parse(line)
            who = identity(value)
            return {"ok": True, **who, **await self._do(request(value, VERBS))}
        except (BadRequest, EmuError) as error:
            return _refusal(str(error), who)
        except TimeoutError:
            return _refusal(self._busy(), who) | {"busy": True}
        except OSError as error:
            return _refusal(error.strerror or str(error), who)
        except (CancelledError, ListenError):
            return _refusal("the server of the card has ended", who)
        except Exception as error:  # noqa: BLE001 - it must not cost others the socket
            self._log.error("a request failed: %r", line[:200], exc_info=error)
            return _refusal(f"it failed: {error!r}", who)

    async def _do(self, asked: Request) -> dict[str, Any]:
        run = partial(asked.verb.run, self.served, **asked.arguments)
        if asked.verb.runs is Runs.AT_ONCE:
            return run()
        if asked.verb.runs is Runs.BESIDE:
            return await asyncio.to_thread(run)
        future = asyncio.wrap_future(self.served.server.submit(partial(self._told, asked, run)))
        return await asyncio.wait_for(future, self.patience)

    def _told(self, asked: Request, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Runs a verb; a trace of the card tells of one that changes it."""
        if asked.verb.changes:
            text = json.dumps({"do": asked.verb.name, **asked.arguments})
            self.served.card.core.note(Kind.CONTROL, Source.USER, text)
        return run()

    def _busy(self) -> str:
        return (
            f"busy: the thread that serves the card has not done it within {self.patience:g} s; "
            "a client's message may not have ended. Ask again"
        )


class _Unreadable(Exception):
    """A request is too long, or has no newline at its end."""


class _Client:
    """A client's connection. `asks`: a request of its is not answered yet; `since`: when it began
    to be idle; `waits`: an answer is not read yet."""

    def __init__(
        self,
        task: asyncio.Task[Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.task, self.reader, self.writer = task, reader, writer
        self.asks, self.since, self.waits, self.is_cut = False, time.monotonic(), False, False
        writer.transport.set_write_buffer_limits(0)

    def cut(self) -> None:
        """Ends the connection, and so the task: wait_for() may swallow a cancellation (3.11)."""
        self.is_cut = True
        self.task.cancel()
        self.writer.transport.abort()

    async def line(self) -> bytes:
        """Returns the next request; nothing at the end."""
        self.asks, self.since = False, time.monotonic()
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise _Unreadable("a request ends with a newline, the last one too") from end
            return b""
        except asyncio.LimitOverrunError as error:
            raise _Unreadable(f"a request has at most {LINE} bytes, with its end") from error
        self.asks = True
        return line

    async def send(self, answer: Mapping[str, Any]) -> None:
        """Sends an answer. TimeoutError if the client does not read it."""
        self.waits = True
        self.writer.write(encoded(answer))
        await asyncio.wait_for(self.writer.drain(), READING)
        self.waits = False


def _refusal(why: str, who: Mapping[str, Any] = {}) -> dict[str, Any]:
    return {"ok": False, **who, "error": why}


def _listening(path: str, mode: int, owner: str | int | None) -> socket.socket:
    with listen.prepared(path, mode, owner):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            listener.listen(CLIENTS)
        except OSError as error:
            listener.close()
            raise ListenError(path, error.strerror or str(error), error.errno or 0) from error
    return listener
