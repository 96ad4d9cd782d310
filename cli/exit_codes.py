"""Exit codes, and every error that a user can cause as one line that says what to do.

Rooms raise their own errors; only here are they turned into words on stderr and a code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from vmcoredd.cli.output import err, visible

STDOUT = 1


class Exit(IntEnum):
    """What the exit code of `vmcoredd` says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_FILE = 3
    NO_DEVICE = 4
    INCOMPLETE = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed: the output exists, the disk is full, ...",
    Exit.USAGE: "the command line, a name or a profile is wrong",
    Exit.BAD_FILE: "the input file is damaged or is not what it should be",
    Exit.NO_DEVICE: "no adapter answered as one must",
    Exit.INCOMPLETE: "done, but not all is there (or, for diff, not all is equal)",
    Exit.UNAVAILABLE: "something this machine lacks, and what to do about it",
    Exit.INTERRUPTED: "stopped by ^C",
}


class Failure(NamedTuple):
    """How one class of error is reported."""

    module: str
    name: str
    code: Exit
    hint: str = ""


FAILURES = (
    Failure("vmcoredd.bench.plots", "NoPlots", Exit.UNAVAILABLE),
    Failure("vmcoredd.bench.serving", "ServerFailed", Exit.FAILED),
    Failure("vmcoredd.bench.commands", "CommandFailed", Exit.FAILED),
    Failure("vmcoredd.vmcore.errors", "FormatError", Exit.BAD_FILE),
    Failure("vmcoredd.vmcore.errors", "NoSuchNote", Exit.USAGE, "`vmcoredd notes FILE` lists them"),
    Failure("vmcoredd.vmcore.errors", "OutputExists", Exit.FAILED, "--force replaces it"),
    Failure("vmcoredd.vmcore.errors", "VmcoreError", Exit.FAILED),
    Failure("vmcoredd.cudbg.errors", "DumpFormatError", Exit.BAD_FILE),
    Failure("vmcoredd.cudbg", "UnknownEntity", Exit.USAGE),
    Failure(
        "vmcoredd.cudbg", "NoSuchEntity", Exit.USAGE, "`vmcoredd show FILE` lists the entities"
    ),
    Failure("vmcoredd.cudbg.errors", "CudbgError", Exit.NO_DEVICE),
    Failure("vmcoredd.hw.errors", "DeviceError", Exit.NO_DEVICE),
    Failure(
        "vmcoredd.emu.errors", "ProfileError", Exit.USAGE, "`vmcoredd cards` lists the profiles"
    ),
    Failure("vmcoredd.emu.errors", "NoSuchFault", Exit.USAGE),
    Failure("vmcoredd.emu.errors", "EmuError", Exit.FAILED),
    Failure("vmcoredd.driver.errors", "DriverError", Exit.NO_DEVICE),
    Failure("pyvfio_user.errors", "ServerUnavailable", Exit.UNAVAILABLE),
    Failure("pyvfio_user.errors", "ListenError", Exit.FAILED),
    Failure("pyvfio_user.errors", "VfioUserError", Exit.NO_DEVICE),
    Failure("vmcoredd.debs.errors", "Unavailable", Exit.UNAVAILABLE),
    Failure("vmcoredd.qemu.errors", "GuestError", Exit.FAILED),
)
"""Looked up in this order; a room that was never imported cannot have raised anything."""


def failure_of(error: BaseException) -> Failure | None:
    """How `error` is reported, or None if it is a bug of ours, which shows its traceback."""
    for failure in FAILURES:
        kind = getattr(sys.modules.get(failure.module), failure.name, None)
        if kind is not None and isinstance(error, kind):
            return failure
    if isinstance(error, OSError):
        return Failure("builtins", "OSError", Exit.FAILED)
    return None


@contextmanager
def about(path: Path) -> Iterator[None]:
    """What is found to be wrong with the content of a file in here is reported with its name."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure and failure.code == Exit.BAD_FILE:
            error.add_note(str(path))
        raise


def _place(error: Exception) -> str:
    """The file that an error is about, as `about` noted it."""
    return "".join(f"{note}: " for note in getattr(error, "__notes__", [])[:1])


def reported(main: Callable[[], None]) -> int:
    """Runs `main`; its errors become a line on stderr and an exit code."""
    code = _code_of(main)
    try:
        sys.stdout.flush()  # else Python does at its end, and has an exit code of its own
    except BrokenPipeError:
        _pipe_closed()
    return code


def _code_of(main: Callable[[], None]) -> int:
    stdout = sys.stdout
    try:
        main()
    except KeyboardInterrupt:
        err.print("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _pipe_closed()
    except SystemExit as end:
        if sys.stdout is not stdout:  # click found it closed, and put something silent there
            return _pipe_closed()
        return int(end.code or Exit.OK)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        err.print(visible(f"vmcoredd: {_place(error)}{error}"), markup=False)
        if failure.hint:
            err.print(failure.hint, markup=False)
        return failure.code
    return Exit.OK


def _pipe_closed() -> int:
    """Whoever read our output has seen enough (`| head`); that is no failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return Exit.OK
