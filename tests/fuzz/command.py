"""Runs `vmcoredd` in this process, as a user runs it: arguments in, exit code and output out."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fuzz.case import Broken
from vmcoredd.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command did. `out` may hold raw bytes."""

    words: tuple[str, ...]
    code: int
    out: bytes
    err: str

    def ended_with(self, *codes: int) -> Done:
        """Raises Broken for any other exit code, and for an error without a word about it."""
        if self.code not in codes:
            raise Broken(f"{' '.join(self.words)}: exit code {self.code}\n{self.err}")
        if self.code in (1, 2, 3, 4) and not self.err.strip():
            raise Broken(f"{' '.join(self.words)}: exit code {self.code} without a word")
        if "Traceback" in self.err:
            raise Broken(f"{' '.join(self.words)}: a traceback\n{self.err}")
        return self


def run(*arguments: object) -> Done:
    """Runs a command; an exception that it does not report is raised here."""
    words = tuple(map(str, arguments))
    with _words(words), _streams() as (out, err):
        code = _exit_code()
        sys.stdout.flush()
        return Done(words, code, out.getvalue(), err.getvalue().decode(errors="replace"))


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    raise Broken("the command returned without an exit code")


@contextlib.contextmanager
def _words(words: tuple[str, ...]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["vmcoredd", *words]
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def _streams() -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    out, err = io.BytesIO(), io.BytesIO()
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)),
        contextlib.redirect_stderr(io.TextIOWrapper(err, "utf-8", write_through=True)),
    ):
        yield out, err
