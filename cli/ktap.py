"""Reports a script in a guest as a test in KTAP (the kernel's Documentation/dev-tools/ktap.rst).

The exit codes are those of `git bisect run`: 125 where the kernel could not be tried, 128 where
that says nothing about the kernel: every commit would end so, and git is to stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from vmcoredd.cli.exit_codes import Exit, failure_of, message, report

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
    test = _Test(name.replace("#", "_"))
    try:
        code = attempt(test.output, test.is_up)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        report(error)
        return test.stopped(error, of_guest=failure.name == OF_GUEST)
    return test.ended(code)


class _Test:
    def __init__(self, name: str) -> None:
        self._name = name
        self._up = False
        self._rest = ""  # a line's beginning
        self._indent = ""
        _print("KTAP version 1", "1..1")

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
            return self._result(Exit.UNTRIED, "ok", f"SKIP exit code {code}")
        if code:
            return self._result(Exit.FAILED, "not ok", f"exit={code}")
        return self._result(Exit.OK, "ok")

    def stopped(self, error: Exception, *, of_guest: bool) -> int:
        why = message(error).partition("\n")[0]
        if not of_guest:
            return self._result(Exit.NO_VERDICT, "ok", f"SKIP {why}")
        if not self._up:
            return self._result(Exit.UNTRIED, "ok", f"SKIP {why}")
        kind = "TIMEOUT" if type(error).__name__ == "GuestTimeout" else "ERROR"
        return self._result(Exit.FAILED, "not ok", f"{kind} {why}")

    def _result(self, code: Exit, verdict: str, why: str = "") -> Exit:
        if self._rest:
            self.output("\n")
        _print(f"{verdict} 1 {self._name}" + (f" # {why}" if why else ""))
        return code


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True, file=sys.stdout)
