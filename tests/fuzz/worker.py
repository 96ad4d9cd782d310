"""Runs the cases of one part in a process of its own: `worker.py PART FIRST COUNT SECONDS [NAME]`.

With a NAME, runs that case of the corpus, or `corpus` for all of it. Prints a line of JSON before
and after each case, so that whoever started it knows the case that killed it.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.case import Case, kept, make, start

FRAMES = 12
"""Of a traceback, from its end."""


def seeded(part: str, first: int, count: int, seconds: float) -> Iterator[tuple[str, Case]]:
    """Yields at most `count` cases, for at most `seconds`."""
    end = time.monotonic() + seconds
    for seed in range(first, first + count):
        if time.monotonic() >= end:
            return
        yield str(seed), make(part, seed)


def say(**event: object) -> None:
    """Prints an event."""
    print(json.dumps(event), file=EVENTS, flush=True)


def work(part: str, cases: Iterator[tuple[str, Case]]) -> None:
    """Runs cases until one fails: what it leaves behind is unknown."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, start(part, Path(folder)) as runner:
        for name, case in cases:
            say(event="start", name=name, case=case)
            try:
                runner.run(case)
            except Exception as error:  # noqa: BLE001 - any exception is a finding
                lines = traceback.format_exception(error)
                found = f"{type(error).__name__}: {error}\n{''.join(lines[-FRAMES:])}"
                say(event="failed", name=name, found=found)
                return
            say(event="done", name=name)


def main(part: str, first: str, count: str, seconds: str, *names: str) -> None:
    """Runs the worker."""
    faulthandler.enable()
    if names:
        work(part, ((n, c) for n, c in kept(part) if n in names or "corpus" in names))
    else:
        work(part, seeded(part, int(first), int(count), float(seconds)))


EVENTS = sys.stdout
if __name__ == "__main__":
    main(*sys.argv[1:])
