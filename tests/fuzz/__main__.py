"""Fuzzes for as long as you like: `make fuzz SECONDS=600 SEED=1 PART=server`.

    python -m tests.fuzz --seconds 600                  # every part, sanitizers on
    python -m tests.fuzz --part files --seed 1 --plain  # one part, without sanitizers
    python -m tests.fuzz --part server --case 1234      # one seed, or one name of the corpus

Each case is a function of its seed. A case that fails is written to tests/fuzz/corpus/, which the
tests replay: commit it with the fix. Exits with 1 if any case failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.fuzz.case import CORPUS, PARTS, SANITIZED, keep
from tests.fuzz.runner import ROOT, Result, Run
from tests.support import sanitized

EVERY = 5.0
"""Seconds between lines of progress."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--part", action="append", choices=PARTS, help="only this part; repeatable")
    add("--seconds", type=float, default=300, help="for all parts together")
    add("--seed", type=int, default=int(time.time()), help="the first seed (default: the time)")
    add("--case", help="run only this seed, or this name of the corpus, of one --part")
    add("--plain", action="store_true", help="use this tree's own build, without sanitizers")
    add("--corpus", type=Path, default=CORPUS, help="where cases that fail are written")
    return parser.parse_args()


@contextlib.contextmanager
def tree(parts: list[str], plain: bool) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """The tree to test, and its environment: a sanitized copy if a part runs C."""
    if plain or not set(parts) & set(SANITIZED):
        yield ROOT, os.environ
        return
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        print("building the C cores with sanitizers", flush=True)
        yield sanitized.build(Path(folder)), sanitized.environment(Path(folder))


class Lines:
    """Prints a line of progress now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY

    def __call__(self, result: Result) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            print(result, flush=True)


def main() -> int:
    """Runs the parts one after the other; returns the exit code."""
    options = arguments()
    parts = options.part or list(PARTS)
    print(f"seed {options.seed}: {', '.join(parts)}", flush=True)
    with tree(parts, options.plain) as (root, environment):
        results = [_run(part, len(parts), options, root, environment) for part in parts]
    print("summary")
    for result in results:
        print(result)
    return int(any(result.failures for result in results))


def _run(
    part: str, parts: int, options: argparse.Namespace, root: Path, environment: Mapping[str, str]
) -> Result:
    if part not in SANITIZED:
        root, environment = ROOT, os.environ
    run = Run(part, options.seed, seconds=options.seconds / parts, root=root)
    run.environment = environment
    if options.case and options.case.isdecimal():
        run.first, run.count = int(options.case), 1
    elif options.case:
        run.names = (options.case,)
    result = run(Lines())
    for failure in result.failures:
        print(failure)
        if failure.name.isdecimal():
            first = failure.found.splitlines()[0]
            path = keep(options.corpus, part, failure.name, failure.case, first)
            print("kept as", path, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
