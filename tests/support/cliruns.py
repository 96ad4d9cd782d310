"""Runs `vmcoredd` in its own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmcoredd import cudbg, vmcore

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
SMALL_CARD = """
[card]
title = "T62100-CR"
device_id = 0x640d

[vpd]
id = "T62100-CR"
part = "110-1202-30"

[memory]
edc0 = 1
edc1 = 1
mc0 = 1

[ports]
speed = 100
type = "CR4_QSFP"

[flash]
id = 0x1740ef
"""

WITHOUT = """
import runpy, sys

ABSENT = sys.argv[1].split(",")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["vmcoredd", *sys.argv[2:]]
runpy.run_module("vmcoredd", run_name="__main__")
"""
"""The program that runs `vmcoredd` without the modules in its first argument (by commas)."""


@dataclass(frozen=True)
class Result:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What the command printed for programs: docs/reference/json-schema.json describes it."""
        from tests.support.schema import problems  # which the fuzzer's runs do without

        record = json.loads(self.out)
        assert problems(record) == []
        return record


Run = Callable[..., Result]


def command(*arguments: object) -> list[str]:
    """The command line for `vmcoredd` in its own process."""
    return [sys.executable, "-m", "vmcoredd", *map(str, arguments)]


def spawned(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    options = {"timeout": PATIENCE} | options
    return subprocess.run(command(*arguments), capture_output=True, text=True, **options)


def command_bytes(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Runs the command to its end; its output is bytes."""
    return subprocess.run(command(*arguments), capture_output=True, timeout=PATIENCE)


@contextmanager
def emulated(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`vmcoredd emulate` while the context is open; killed at its end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command("emulate", *arguments), text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def dying(path: Path, accesses: int) -> Iterator[subprocess.Popen[str]]:
    """A server of a card on the socket `path` that is killed after that many accesses to BAR0."""
    words = [sys.executable, "-m", "tests.support.dying_server", str(path), str(accesses)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield server
        finally:
            server.kill()


def ready(process: subprocess.Popen[str]) -> Any:
    """Waits until clients can connect; returns the emulator's JSON line."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def ended(process: subprocess.Popen[str], number: signal.Signals) -> Result:
    """Ends the process with a signal."""
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out, err)


def damage(path: Path, entity: str) -> None:
    """Overwrites the beginning of an entity of a vmcore's first dump."""
    with vmcore.Reader(path) as reader:
        note = reader.device_dumps[0]
        start = cudbg.Dump(reader.payload(note.index)).entity(entity).start
    with path.open("r+b") as file:
        file.seek(note.payload_offset + start)
        file.write(b"\xff" * 64)


def one_line(result: Result) -> str:
    """The only line on stderr: users' errors take one line, without a traceback."""
    assert "Traceback" not in result.err
    lines = [line for line in result.err.splitlines() if line.startswith("vmcoredd: ")]
    assert len(lines) == 1, result.err
    return lines[0]
