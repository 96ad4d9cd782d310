"""Reports a script in a guest as a test in KTAP (the kernel's Documentation/dev-tools/ktap.rst).

The exit codes are those of `git bisect run`: 125 where the kernel could not be tried, 128 where
that says nothing about the kernel: every commit would end so, and git is to stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmcoredd.cli.exit_codes import Exit, failure_of, message, report
from vmcoredd.cli.output import visible

if TYPE_CHECKING:
    from vmcoredd.fleet.sweep.rows import Row

SKIP = 4
"""The exit code by which a selftest of the kernel says that it cannot run here."""
OF_GUEST = "GuestError"
"""The entry of `exit_codes.FAILURES` whose errors are a kernel's, or a guest's that runs it."""
NESTED = ("KTAP version", "TAP version")
"""How a script's output begins that is KTAP itself."""

Attempt = Callable[[Callable[[str], None], Callable[[], None]], int]
"""Runs a test. Receives what to call with its output, and when its kernel is up; returns its exit
code."""


def run_as_test(name: str, attempt: Attempt) -> int:
    """Runs `attempt`, prints it as the test `name`, and returns an exit code for git bisect.

    Errors that users can meet are reported on stderr. A guest's is a skipped test before it is up,
    and from then on one that failed; the others, such as wrong usage, are no verdict on the kernel.
    """
    _begin(1)
    test = _Test(name)
    try:
        code = attempt(test.output, test.is_up)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        report(error)
        return test.stopped(error, of_guest=failure.name == OF_GUEST)
    return test.ended(code)


def print_rows(rows: Sequence[Row], folder: Path) -> None:
    """Prints the rows of a sweep, whose files are in `folder`, as tests."""
    from vmcoredd.fleet.sweep.rows import Result

    _begin(len(rows))
    for number, row in enumerate(rows, 1):
        test = _Test(row.cell.id, number)
        if "output" in row.files:
            with (folder / row.files["output"]).open(errors="replace") as output:
                for line in output:
                    test.output(line)
        if row.result is Result.SKIP:
            test.skipped(visible(row.facts.why))
        elif row.result is Result.PASS:
            test.passed()
        else:
            kind = "ERROR " * (row.result is Result.ERROR)
            test.failed(f"{kind}{visible(row.facts.why)}")


def _begin(count: int) -> None:
    _print("KTAP version 1", f"1..{count}")


class _Test:
    def __init__(self, name: str, number: int = 1) -> None:
        self._name, self._number = name.replace("#", "_"), number
        self._up = False
        self._rest = ""  # a line's beginning
        self._indent = ""

    def is_up(self) -> None:
        self._up = True

    def output(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        first, nested = not self._indent, line.startswith(NESTED)
        if first:
            self._indent = "  " if nested else "# "
        _print(f"{self._indent}{line}".rstrip())
        if first and nested:
            _print(f"  # Subtest: {self._name}")

    def ended(self, code: int) -> int:
        if code in (SKIP, Exit.UNTRIED):
            return self.skipped(f"exit code {code}")
        return self.failed(f"exit={code}") if code else self.passed()

    def passed(self) -> int:
        return self._result(Exit.OK, "ok")

    def failed(self, why: str) -> int:
        return self._result(Exit.FAILED, "not ok", why)

    def skipped(self, why: str, code: Exit = Exit.UNTRIED) -> int:
        return self._result(code, "ok", f"SKIP {why}")

    def stopped(self, error: Exception, *, of_guest: bool) -> int:
        why = message(error).partition("\n")[0]
        if not of_guest or not self._up:
            return self.skipped(why, Exit.UNTRIED if of_guest else Exit.NO_VERDICT)
        kind = "TIMEOUT" if type(error).__name__ == "GuestTimeout" else "ERROR"
        return self.failed(f"{kind} {why}")

    def _result(self, code: Exit, verdict: str, why: str = "") -> Exit:
        if self._rest:
            self.output("\n")
        _print(f"{verdict} {self._number} {self._name}" + (f" # {why}" if why else ""))
        return code


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True, file=sys.stdout)
