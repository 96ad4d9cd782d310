"""Reads the results in what a script printed, if that is KTAP
(the kernel's Documentation/dev-tools/ktap.rst)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmcoredd.fleet.sweep.rows import Result, Subtest

BEGINS = re.compile(r"K?TAP version \d+\s*$")
RESULT = re.compile(r"(?P<no>not )?ok \d+(?: (?:- )?(?P<name>[^#]*?))?(?:\s*#\s*(?P<why>.*))?$")
MOST = 1000
"""Results that are kept."""
SKIPPED = ("SKIP", "TODO", "XFAIL")


def tests(output: str) -> tuple[Subtest, ...]:
    """Returns the results of the first level; nothing for what does not begin as KTAP does."""
    lines = output.splitlines()
    if not lines or not BEGINS.match(lines[0]):
        return ()
    return tuple(_found(lines))[:MOST]


def _found(lines: list[str]) -> Iterator[Subtest]:
    for number, line in enumerate(lines):
        if found := RESULT.match(line):
            why = found["why"] or ""
            skipped = why.upper().startswith(SKIPPED)
            result = Result.SKIP if skipped else Result.FAIL if found["no"] else Result.PASS
            yield Subtest(found["name"] or f"test {number}", result, why)
