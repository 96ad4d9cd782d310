"""Servers in processes of their own, on cpus of their own, for as long as a measurement takes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyvfio_user import SPIN

PATIENCE = 30.0


class ServerFailed(Exception):
    """A server did not start; the message is what it printed."""


@dataclass(frozen=True)
class CardServer:
    """What a server shows, and how; `overrides` replace values of the card's profile."""

    card: str = "t62100-cr"
    overrides: dict[str, Any] = field(default_factory=dict)
    map_window: bool = False
    spin: float = SPIN
    cpus: frozenset[int] | None = None


@contextlib.contextmanager
def serving(server: CardServer) -> Iterator[Path]:
    """The socket of a server that is ready."""
    options = asdict(server) | {"cpus": sorted(server.cpus or ())}
    with _folder() as folder:
        path = folder / "card.sock"
        argument = json.dumps(options | {"path": str(path)})
        with running([sys.executable, "-m", "vmcoredd.bench.server", argument], folder / "log"):
            yield path


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that prints a line when it is ready, and ends at SIGTERM. ServerFailed."""
    with (
        log.open("w") as messages,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, text=True) as program,
    ):
        try:
            if program.stdout is None or not program.stdout.readline():
                raise ServerFailed(f"{command[0]} did not start: {log.read_text().strip()}")
            yield program
        finally:
            program.send_signal(signal.SIGTERM)
            _end(program)


def _end(program: subprocess.Popen[str]) -> None:
    try:
        program.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        program.kill()
        raise ServerFailed(f"process {program.pid} did not end in {PATIENCE:g} s") from None


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
        yield Path(name)
