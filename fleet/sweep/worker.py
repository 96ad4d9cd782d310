"""The process that tries cells: a request is a line of JSON on stdin, an answer one on stdout.

For each request it answers `{"prepared": ...}` once all that the cell needs is there, and then what
is known of the cell. It ends at the end of its input, or after a while without a request.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from types import FrameType
from typing import IO, Any

from vmcoredd.fleet.sweep.jobs import Job
from vmcoredd.fleet.sweep.process import READY
from vmcoredd.fleet.sweep.trial import Trial

IDLE_SECONDS = 120
"""After which nobody seems to need it: a worker of a cluster waits for work for days."""


def main() -> None:
    """Answers requests."""
    signal.signal(signal.SIGTERM, _end)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anything prints is no answer
    requests = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - to the end
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while poll.poll(IDLE_SECONDS * 1000):
        line = requests.readline()
        if not line:
            return
        _answer(answers, _tried(json.loads(line), answers))


def _tried(request: dict[str, Any], answers: IO[str]) -> dict[str, Any]:
    work = request.pop("work")
    trial = Trial(Job.from_json(request), work)
    trial.prepare()
    _answer(answers, {READY: True})
    return trial.facts().json()


def _answer(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends the process as an error would, so that it ends its guest."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
