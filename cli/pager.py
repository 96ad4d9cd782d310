"""The pager: long output on a terminal goes through $PAGER, as git's does."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from vmcoredd.cli.output import out

_DEFAULT = "less"
_DEFAULTS = {"LESS": "FRX", "LV": "-c"}
"""Of git: stay only if the text is longer than the screen, show colours, leave the text there."""


@contextmanager
def paged() -> Iterator[None]:
    """Shows what is printed to `out` in a pager once it is longer than the screen.

    Only if stdin and stdout are a terminal. A pager that is missing is no error. Where the user
    leaves it early, the command goes on without output, so that its exit code is the same.
    """
    command = pager() if sys.stdin.isatty() and sys.stdout.isatty() else ""
    if not command:
        yield
        return
    screen = _Screen(command, sys.stdout)
    before, out.file = out.file, screen  # type: ignore[assignment]
    try:
        yield
    finally:
        out.file = before
        screen.close()


def pager() -> str:
    """Returns the pager's command line; empty if there is none, or if it would only copy."""
    command = os.environ.get("PAGER", _DEFAULT).strip()
    words = shlex.split(command) if command.count("'") % 2 == command.count('"') % 2 == 0 else []
    programs = [word for word in words if "=" not in word]
    if not programs or programs == ["cat"] or shutil.which(programs[0]) is None:
        return ""
    return command


class _Screen:
    """Keeps text until it is longer than the screen, then starts the pager."""

    def __init__(self, command: str, terminal: TextIO) -> None:
        self._command, self._terminal = command, terminal
        self._columns, self._lines = os.get_terminal_size(terminal.fileno())
        self._kept: list[str] = []
        self._height = 0
        self._process: subprocess.Popen[str] | None = None
        self._input: TextIO = terminal
        self._is_left = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def write(self, text: str) -> int:
        """Prints or keeps text; discards it once the user has left the pager."""
        if self._process is None:
            self._kept.append(text)
            self._height += sum(1 + len(line) // self._columns for line in text.splitlines())
            if self._height >= self._lines:
                self._start()
        else:
            self._print(text)
        return len(text)

    def flush(self) -> None:
        """Does nothing: what is kept is printed at the end."""

    def close(self) -> None:
        """Prints what was kept, or waits until the user leaves the pager."""
        if self._process is None:
            self._terminal.write("".join(self._kept))
            self._terminal.flush()
            return
        with suppress(BrokenPipeError):
            self._input.close()
        while True:
            with suppress(KeyboardInterrupt):  # ^C is the pager's, as in git
                self._process.wait()
                return

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            shell=True,  # $PAGER is a line for the shell, as in git
            stdin=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**_DEFAULTS, **os.environ},
        )
        self._input = cast(TextIO, self._process.stdin)
        self._print("".join(self._kept))

    def _print(self, text: str) -> None:
        if self._is_left:
            return
        try:
            self._input.write(text)
        except BrokenPipeError:
            self._is_left = True
