"""Our command in a process of its own: how long it takes, and its peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vmcoredd.bench.measure import timed


class CommandFailed(Exception):
    """A command that should have worked did not."""


@dataclass(frozen=True)
class Ran:
    """What it took."""

    seconds: float
    peak: int
    """Bytes resident, see `bench.peak`."""
    output: str


def vmcoredd(*arguments: str) -> Ran:
    """Runs `vmcoredd arguments`. CommandFailed."""
    done: subprocess.CompletedProcess[str] | None = None
    with tempfile.NamedTemporaryFile() as file:

        def run() -> None:
            nonlocal done
            command = [sys.executable, "-m", "vmcoredd.bench.peak", file.name, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)

        seconds = timed(run)
        if done is None or done.returncode:
            raise CommandFailed(f"vmcoredd {' '.join(arguments)}: {done.stderr if done else ''}")
        return Ran(seconds, json.loads(Path(file.name).read_text()), done.stdout)
