"""Programs in separate processes: card servers, a plain C server, the `vmcoredd` command."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyvfio_user import SPIN
from vmcoredd import debs
from vmcoredd.bench.machine import together
from vmcoredd.bench.measure import processor_seconds
from vmcoredd.debs import libvfio_user

TIMEOUT = 30.0
"""Seconds that a server may take to exit."""
LOOK_SECONDS = 0.005
"""Between two looks at the memory of a command."""
CHILD = (sys.executable, "-m", "vmcoredd.bench.child")
PLAIN_SOURCE = Path(__file__).with_name("plain_server.c")
PLAIN_FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror")


class ServerFailed(Exception):
    """A server did not start, or did not exit; the message includes its output."""


class CommandFailed(Exception):
    """A `vmcoredd` command failed; the message includes its output."""


@dataclass(frozen=True)
class CardServer:
    """A server's card and options; `overrides` replace values of the card's profile."""

    card: str = "t62100-cr"
    overrides: dict[str, Any] = field(default_factory=dict)
    scene: str = "crashed"
    wires: list[str] = field(default_factory=list)
    map_window: bool = False
    traced: bool = False
    """Whether a trace is recorded, beside the socket."""
    spin: float = SPIN
    """Seconds."""
    cpus: frozenset[int] | None = None
    """None: all."""


@contextlib.contextmanager
def serving(server: CardServer) -> Iterator[Path]:
    """Runs a card's server, and yields its socket once it is ready. Raises `ServerFailed`."""
    with served(server) as (path, _):
        yield path


@contextlib.contextmanager
def served(server: CardServer) -> Iterator[tuple[Path, int]]:
    """Runs a card's server as `serving`, and yields its socket and its process id."""
    options = asdict(server) | {"cpus": sorted(server.cpus or ())}
    with _folder() as folder:
        path = folder / "card.sock"
        argument = json.dumps(options | {"path": str(path)})
        with _running([*CHILD, "serve", argument], folder / "log") as process:
            yield path, process.pid


@contextlib.contextmanager
def plain_server(cpus: frozenset[int]) -> Iterator[Path]:
    """Compiles and runs a plain C server over the same libvfio-user, and yields its socket.

    Raises `debs.Unavailable` without a compiler or the library, `ServerFailed` as `serving`.
    """
    with _folder() as folder:
        program, path = _build(folder), folder / "plain.sock"
        with _running([str(program), str(path)], folder / "log") as server:
            os.sched_setaffinity(server.pid, cpus)
            yield path


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    seconds: float
    processor_seconds: float
    """Of user and system."""
    peak: int
    """Peak of its resident memory in bytes; see `bench.child`."""
    largest: int
    """The same of the largest of it and the processes that it waited for."""
    output: str


def vmcoredd(*arguments: str, accept: Collection[int] = (0,)) -> Ran:
    """Runs `vmcoredd arguments`. Raises `CommandFailed` unless its exit code is in `accept`."""
    with tempfile.NamedTemporaryFile() as file:
        command = [*CHILD, "peak", file.name, *arguments]
        began, used = time.perf_counter(), processor_seconds()
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment()
        )
        seconds, used = time.perf_counter() - began, processor_seconds() - used
        if done.returncode not in accept:
            raise CommandFailed(f"vmcoredd {' '.join(arguments)}: {done.stderr}")
        own, largest = json.loads(Path(file.name).read_text())
        return Ran(seconds, used, own, largest, done.stdout)


def peak_together(*arguments: str, accept: Collection[int] = (0,)) -> int:
    """Returns the peak of memory in bytes of `vmcoredd arguments` and the processes that it starts.

    Looks every few milliseconds, which costs the command time. Raises as `vmcoredd`.
    """
    command, peak = [sys.executable, "-m", "vmcoredd", *arguments], 0
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=_environment()
        ) as program:
            while program.poll() is None:
                peak = max(peak, together(program.pid))
                time.sleep(LOOK_SECONDS)
        errors.seek(0)
        if program.returncode not in accept:
            raise CommandFailed(f"vmcoredd {' '.join(arguments)}: {errors.read()}")
    return peak


@functools.cache
def _environment() -> dict[str, str]:
    """Returns the environment of commands: they have bytecode, as installed ones do, even where
    this process may leave none behind. The first of them makes it."""
    if not sys.dont_write_bytecode:
        return dict(os.environ)
    folder = tempfile.TemporaryDirectory(prefix="vmcoredd-bench-")
    atexit.register(folder.cleanup)
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": folder.name}


def decoding(vmcore: Path) -> float:
    """Returns the seconds of processor time that a new process takes to decode a dump whole."""
    command = [*CHILD, "decode", str(vmcore)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a program that prints a line when it is ready and exits on SIGTERM."""
    with (
        log.open("w") as messages,
        subprocess.Popen(
            debs.bound(command), stdout=subprocess.PIPE, stderr=messages, text=True
        ) as program,
    ):
        try:
            if program.stdout is None or not program.stdout.readline():
                raise ServerFailed(f"{command[0]} did not start: {log.read_text().strip()}")
            yield program
        finally:
            program.send_signal(signal.SIGTERM)
            _wait(program)


def _wait(program: subprocess.Popen[str]) -> None:
    try:
        program.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        program.kill()
        raise ServerFailed(f"process {program.pid} did not exit in {TIMEOUT:g} s") from None


def _build(folder: Path) -> Path:
    library, program = libvfio_user.obtain(), folder / "plain_server"
    includes = [f"-isystem{include}" for include in library.include_dirs]
    archives = [str(archive) for archive in library.archives]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    sources = [str(PLAIN_SOURCE), *archives]
    command = [*compiler, *PLAIN_FLAGS, *includes, "-o", str(program), *sources]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        why = "it is not installed"
        raise debs.Unavailable(command[0], why, "Install gcc and binutils") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip()
        raise debs.Unavailable(PLAIN_SOURCE.name, reason, libvfio_user.REMEDY) from error
    return program


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
        yield Path(name)
