"""A client of a control socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from vmcoredd.emu.control.protocol import beside, encoded
from vmcoredd.emu.errors import EmuError

GREETING = 3.0
"""Seconds that a control socket may take to say what it is; an adapter's never does."""
DEADLINE = 15.0
"""Seconds for an answer: more than a busy card's server takes to say so."""


class ControlError(EmuError):
    """A control socket cannot be used."""


class NoControlSocket(ControlError):
    """There is no control socket at a path or beside it."""


class RequestRefused(EmuError):
    """The other end refuses a request, and says why; `busy`: for now."""

    def __init__(self, why: str, *, busy: bool = False) -> None:
        super().__init__(why)
        self.busy = busy


class Client(contextlib.AbstractContextManager["Client"]):
    """A connection to the control socket at `path`, or to the one beside an adapter's socket.

    Raises NoControlSocket, ControlError.
    """

    def __init__(self, path: str | os.PathLike[str], deadline: float = DEADLINE) -> None:
        given = Path(path)
        near = beside(given)
        self.path = near if near.exists() else given
        self._socket = _connected(self.path, given)
        self._file = self._socket.makefile("rb")
        try:
            self.greeting = self._greeting(given)
        except BaseException:
            self.close()
            raise
        self._socket.settimeout(deadline)

    def _greeting(self, given: Path) -> dict[str, Any]:
        self._socket.settimeout(GREETING)
        try:
            greeting = json.loads(self._file.readline())
            if greeting["command"] == "control":
                return dict(greeting)
        except (OSError, ValueError, TypeError, KeyError):
            pass
        raise (
            _absent(given)
            if self.path == given
            else ControlError(f"{self.path}: no control socket answers there")
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and returns its answer, without `ok`.

        Raises RequestRefused, and ControlError if the other end is gone or silent.
        """
        try:
            self._socket.sendall(encoded({"do": do, **arguments}))
            line = self._file.readline()
            answer = json.loads(line) if line else None
        except TimeoutError:
            raise ControlError(f"{self.path}: no answer to {do} in time") from None
        except ConnectionError:
            answer = None
        except (OSError, ValueError) as error:
            raise ControlError(f"{self.path}: {error}") from error
        if not isinstance(answer, dict):
            raise ControlError(f"{self.path}: the other end is gone")
        if not answer.pop("ok", False):
            raise RequestRefused(str(answer.get("error")), busy=bool(answer.get("busy")))
        return answer

    def close(self) -> None:
        """Ends the connection."""
        self._file.close()
        self._socket.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _connected(path: Path, given: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(GREETING)
        connection.connect(os.fspath(path))
    except OSError as error:
        connection.close()
        why = error.strerror or str(error)
        if isinstance(error, ConnectionRefusedError):
            why = "nobody listens there any more"
        raise ControlError(f"{path}: {why}") from error
    return connection


def _absent(given: Path) -> NoControlSocket:
    return NoControlSocket(
        f"no control socket beside {given}: was it served with --no-control, or by an older "
        "version? It would be at " + os.fspath(beside(given))
    )
