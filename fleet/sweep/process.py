"""A process that tries cells, one after the other, seen from the thread that it works for."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmcoredd import debs
from vmcoredd.qemu.errors import tail

PREPARING_SECONDS = 2 * 3600.0
"""For what a guest needs, which may be downloaded and built first."""
SECONDS_TO_END = 10.0
"""For a process to end its guest."""
TICK_SECONDS = 1.0
"""Between two looks at whether the sweep goes on."""
MOST_BYTES = 4 << 20
"""Of an answer."""
LOG_LINES = 3
READY = "prepared"


class Died(Exception):
    """The process ended before it answered; the message says how."""


class Late(Exception):
    """The process did not answer in time."""


class Worker:
    """A process that tries cells. It ends when this one does, however that ends, and after any
    error in the context."""

    def __init__(self) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="vmcoredd-sweep-")  # noqa: SIM115 - `end`
        self._rest = b""
        self._process = subprocess.Popen(
            debs.bound([sys.executable, "-m", "vmcoredd.fleet.sweep.worker"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            process_group=0,  # ^C is for us, who end it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.end()

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(
        self, request: dict[str, Any], seconds: float, check: Callable[[], None]
    ) -> dict[str, Any]:
        """Has a cell tried; returns what is known of it then.

        `seconds` are counted from when all that a guest needs is there. `check` is called all the
        time, and may raise. Raises Died, Late.
        """
        self._send(request)
        if READY in (answer := self._answer(PREPARING_SECONDS, check)):
            answer = self._answer(seconds, check)
        return answer

    def end(self) -> None:
        """Ends the process and its guest."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._log.close()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error

    def _answer(self, seconds: float, check: Callable[[], None]) -> dict[str, Any]:
        assert self._process.stdout
        pipe, until = self._process.stdout.fileno(), time.monotonic() + seconds
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while b"\n" not in self._rest:
            check()
            left = until - time.monotonic()
            if left <= 0:
                raise Late
            if poll.poll(min(left, TICK_SECONDS) * 1000):
                data = os.read(pipe, 1 << 16)
                if not data or len(self._rest) > MOST_BYTES:
                    raise self._death()
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> Died:
        """Returns how the process ended, once it has."""
        try:
            code = self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            return Died("its process answered nonsense")
        if code < 0:
            return Died(f"its process was killed by {signal.Signals(-code).name}")
        said = " ".join(tail(Path(self._log.name), LOG_LINES).split())
        return Died(f"its process ended with code {code}: {said}")
