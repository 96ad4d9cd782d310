"""Reports an error as one line on stderr and an exit code.

Rooms raise their own errors; only this module reports them to the user.
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
    """The exit codes of `vmcoredd`."""

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
    Exit.USAGE: "wrong usage: an option, a name or a card's TOML file",
    Exit.BAD_FILE: "the input file is damaged or of the wrong kind",
    Exit.NO_DEVICE: "no adapter responded correctly",
    Exit.INCOMPLETE: "done, but something is missing (diff: something differs)",
    Exit.UNAVAILABLE: "this machine lacks something; the message says what to do",
    Exit.INTERRUPTED: "interrupted by ^C",
}


class Failure(NamedTuple):
    """How errors of one class are reported."""

    module: str
    name: str
    code: Exit
    hint: str = ""


FAILURES = (
    Failure("vmcoredd.bench.plots", "NoPlots", Exit.UNAVAILABLE),
    Failure("vmcoredd.bench.processes", "ServerFailed", Exit.FAILED),
    Failure("vmcoredd.bench.processes", "CommandFailed", Exit.FAILED),
    Failure("vmcoredd.vmcore.errors", "VmcoreFormatError", Exit.BAD_FILE),
    Failure(
        "vmcoredd.vmcore.errors", "NoSuchNote", Exit.USAGE, "`vmcoredd notes FILE` lists the notes"
    ),
    Failure("vmcoredd.vmcore.errors", "OutputExists", Exit.FAILED, "use --force to replace it"),
    Failure("vmcoredd.vmcore.errors", "VmcoreError", Exit.FAILED),
    Failure("vmcoredd.cudbg.errors", "DumpFormatError", Exit.BAD_FILE),
    Failure("vmcoredd.cudbg", "UnknownEntity", Exit.USAGE),
    Failure(
        "vmcoredd.cudbg", "NoSuchEntity", Exit.USAGE, "`vmcoredd show FILE` lists the entities"
    ),
    Failure("vmcoredd.cudbg.errors", "CudbgError", Exit.NO_DEVICE),
    Failure("vmcoredd.hw.errors", "DeviceError", Exit.NO_DEVICE),
    Failure("vmcoredd.emu.errors", "ProfileError", Exit.USAGE, "`vmcoredd cards` lists the cards"),
    Failure("vmcoredd.emu.errors", "NoSuchFault", Exit.USAGE),
    Failure("vmcoredd.emu.errors", "EmuError", Exit.FAILED),
    Failure("vmcoredd.driver.errors", "DriverError", Exit.NO_DEVICE),
    Failure("pyvfio_user.errors", "ServerUnavailable", Exit.UNAVAILABLE),
    Failure("pyvfio_user.errors", "ListenError", Exit.FAILED),
    Failure("pyvfio_user.errors", "VfioUserError", Exit.NO_DEVICE),
    Failure("vmcoredd.debs.errors", "Unavailable", Exit.UNAVAILABLE),
    Failure("vmcoredd.qemu.errors", "GuestError", Exit.FAILED),
)
"""The first match applies. A room that was not imported cannot have raised an error."""

NO_PYVFIO_USER = Failure(
    "builtins",
    "ModuleNotFoundError",
    Exit.UNAVAILABLE,
    "pyvfio-user is a separate distribution: pip install ./pyvfio_user from the same source",
)


def failure_of(error: BaseException) -> Failure | None:
    """Returns how to report `error`; None for a bug in this program, which gets a traceback."""
    for failure in FAILURES:
        kind = getattr(sys.modules.get(failure.module), failure.name, None)
        if kind is not None and isinstance(error, kind):
            return failure
    if isinstance(error, ModuleNotFoundError) and error.name == "pyvfio_user":
        return NO_PYVFIO_USER
    if isinstance(error, OSError):
        return Failure("builtins", "OSError", Exit.FAILED)
    return None


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Adds `path` to errors about a file's content that are raised in this context."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure and failure.code == Exit.BAD_FILE:
            error.add_note(str(path))
        raise


def _file(error: Exception) -> str:
    """Returns the file that `about` added, as a prefix for the message."""
    return "".join(f"{note}: " for note in getattr(error, "__notes__", [])[:1])


def reported(main: Callable[[], None]) -> int:
    """Runs `main` and reports its errors. Returns the exit code."""
    code = _code_of(main)
    try:
        sys.stdout.flush()  # else Python flushes at exit and, if that fails, exits with 120
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
        if sys.stdout is not stdout:  # the option parser replaced stdout because it was closed
            return _pipe_closed()
        return int(end.code or Exit.OK)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        err.print(visible(f"vmcoredd: {_file(error)}{error}"), markup=False)
        if failure.hint:
            err.print(failure.hint, markup=False)
        return failure.code
    return Exit.OK


def _pipe_closed() -> int:
    """Handles a reader that closed the pipe (`| head`), which is not a failure."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return Exit.OK
