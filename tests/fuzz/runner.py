"""Starts workers, watches them, and collects what fails: an exception, a death, a hang."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.fuzz.case import Case

ROOT = Path(__file__).resolve().parents[2]
HANG = 90.0
"""Seconds after which a case counts as a hang. The parts have bounds of their own, far below."""
TAIL = 3000


@dataclass(frozen=True)
class Failure:
    """A case that failed: its seed or its name in the corpus, and the end of a traceback or log."""

    part: str
    name: str
    case: Case
    found: str

    def __str__(self) -> str:
        return f"{self.part} {self.name}:\n{self.found}"


@dataclass
class Result:
    """The outcome of a part."""

    part: str
    cases: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.cases / max(self.seconds, 0.001)
        return f"{self.part:8} {self.cases:6} cases {rate:8.1f} /s {len(self.failures):4} failed"


Progress = Callable[[Result], None]


@dataclass
class Run:
    """One part: `count` seeds from `first` on, for at most `seconds`.

    `root` is the tree to test and `environment` what its processes need.
    """

    part: str
    first: int = 0
    count: int = 1 << 62
    seconds: float = 1e9
    names: tuple[str, ...] = ()
    root: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __call__(self, progress: Progress = lambda result: None) -> Result:
        """Runs the cases; a worker that ended with a failure is replaced by one for the rest."""
        result, begin, seed = Result(self.part), time.monotonic(), self.first
        while True:
            left = self.seconds - (time.monotonic() - begin)
            last = self._work(result, seed, left, progress, begin)
            result.seconds = time.monotonic() - begin
            if last is None or self.names:
                return result
            seed = last + 1
            if seed >= self.first + self.count:
                return result

    def _work(
        self, result: Result, seed: int, left: float, progress: Progress, begin: float
    ) -> int | None:
        """Runs one worker; returns the seed that failed, None if it came to its end."""
        count = self.first + self.count - seed
        words = [self.part, str(seed), str(count), str(left), *self.names]
        command = [sys.executable, "-P", "-m", "tests.fuzz.worker", *words]
        with (
            tempfile.TemporaryFile("w+") as log,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.root,
                env=environment(self.root, self.environment),
                start_new_session=True,
            ) as worker,
        ):
            try:
                return self._watch(worker, log, result, progress, begin)
            finally:
                _end(worker)

    def _watch(
        self,
        worker: subprocess.Popen[bytes],
        log: IO[str],
        result: Result,
        progress: Progress,
        begin: float,
    ) -> int | None:
        at: dict[str, Any] = {"name": "start-up", "case": {}}
        for event in _events(worker):
            at = event if event["event"] == "start" else at
            if event["event"] == "failed":
                return self._failed(result, at, event["found"])
            result.cases += event["event"] == "done"
            result.seconds = time.monotonic() - begin
            progress(result)
        hung = worker.poll() is None
        if hung:
            worker.send_signal(signal.SIGABRT)  # faulthandler prints where it hangs
        code = worker.wait()
        if code == 0:
            return None
        log.seek(0)
        what = f"no end within {HANG:g} s" if hung else f"the worker ended with {code}"
        return self._failed(result, at, f"{what}\n{log.read()[-TAIL:]}")

    def _failed(self, result: Result, at: dict[str, Any], found: str) -> int | None:
        name = at["name"]
        result.cases += 1
        result.failures.append(Failure(self.part, name, at["case"], found))
        return int(name) if name.isdecimal() else None


def environment(root: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: the tree and its test helpers come first."""
    folders = (".", "pyvfio_user/src", "tests/support", "pyvfio_user/tests/support")
    return {**base, "PYTHONPATH": ":".join(str(root / folder) for folder in folders)}


def _events(worker: subprocess.Popen[bytes]) -> Any:
    """Yields events until the worker ends, or is silent for longer than `HANG`."""
    assert worker.stdout is not None
    rest, poll = b"", select.poll()
    poll.register(worker.stdout, select.POLLIN)
    while poll.poll(HANG * 1000):
        data = os.read(worker.stdout.fileno(), 65536)
        if not data:
            worker.wait(HANG)
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Ends the worker and what it has started: its session."""
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    worker.wait()
