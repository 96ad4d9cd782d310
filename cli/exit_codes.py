"""Reports an error on stderr, `vmcoredd: FILE-OR-OPTION: what is wrong`, and as an exit code.

Rooms raise their own errors; only this module reports them to the user.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import typer

from vmcoredd.cli.output import discard_results, err, visible_lines
from vmcoredd.cli.signals import Ended

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""The parser's error for wrong usage, which typer itself does not export."""


class Exit(IntEnum):
    """The exit codes of `vmcoredd`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_FILE = 3
    NO_DEVICE = 4
    INCOMPLETE = 5
    UNAVAILABLE = 6
    FOUND = 7
    UNTRIED = 125
    NO_VERDICT = 128
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed: the output exists, the disk is full, ...",
    Exit.USAGE: "wrong usage: an option, a name or a card's TOML file",
    Exit.BAD_FILE: "the input file is damaged or of the wrong kind",
    Exit.NO_DEVICE: "no adapter responded correctly",
    Exit.INCOMPLETE: "done, but something is missing or not decoded (diff, replay: something "
    "differs; sweep: a cell could not be tried)",
    Exit.UNAVAILABLE: "this machine lacks something; the message says what to do",
    Exit.FOUND: "diagnose: something is wrong with the card (a finding above a note); sweep: a "
    "cell failed",
    Exit.UNTRIED: "guest run, sweep --ktap: this kernel cannot be tried (git bisect skips it)",
    Exit.NO_VERDICT: "guest run, sweep --ktap: wrong usage, or the fault is this machine's or this "
    "program's (git bisect stops)",
    Exit.INTERRUPTED: "interrupted by ^C (SIGTERM: 143, a closed terminal: 129)",
}


class Failure(NamedTuple):
    """How errors of one class are reported."""

    module: str
    name: str
    code: Exit
    hint: str = ""


FAILURES = (
    Failure("vmcoredd.bench.processes", "ServerFailed", Exit.FAILED),
    Failure("vmcoredd.bench.processes", "CommandFailed", Exit.FAILED),
    Failure("vmcoredd.vmcore.errors", "VmcoreFormatError", Exit.BAD_FILE),
    Failure(
        "vmcoredd.vmcore.errors", "NoSuchNote", Exit.USAGE, "`vmcoredd notes FILE` lists the notes"
    ),
    Failure(
        "vmcoredd.vmcore.errors",
        "PayloadTooLarge",
        Exit.FAILED,
        "`vmcoredd extract` copies it to a file",
    ),
    Failure("vmcoredd.vmcore.errors", "OutputExists", Exit.FAILED, "use --force to replace it"),
    Failure("vmcoredd.vmcore.errors", "VmcoreError", Exit.FAILED),
    Failure("vmcoredd.raised.errors", "NotRaisable", Exit.BAD_FILE),
    Failure("vmcoredd.cudbg.errors", "UnknownFormat", Exit.INCOMPLETE),
    Failure("vmcoredd.cudbg.errors", "DumpFormatError", Exit.BAD_FILE),
    Failure("vmcoredd.cudbg", "UnknownEntity", Exit.USAGE),
    Failure(
        "vmcoredd.cudbg", "NoSuchEntity", Exit.USAGE, "`vmcoredd show FILE` lists the entities"
    ),
    Failure("vmcoredd.cudbg.errors", "CudbgError", Exit.NO_DEVICE),
    Failure("vmcoredd.hw.errors", "DeviceError", Exit.NO_DEVICE),
    Failure("vmcoredd.emu.errors", "ProfileError", Exit.USAGE, "`vmcoredd cards` lists the cards"),
    Failure(
        "vmcoredd.emu.errors",
        "NoSuchFault",
        Exit.USAGE,
        "`vmcoredd cards --faults` lists the faults",
    ),
    Failure("vmcoredd.trace.errors", "TraceFormatError", Exit.BAD_FILE),
    Failure("vmcoredd.trace.errors", "TraceExists", Exit.FAILED, "use --force to replace it"),
    Failure("vmcoredd.emu.wires", "CaptureExists", Exit.FAILED, "use --force to replace it"),
    Failure("vmcoredd.emu.wires", "WireError", Exit.USAGE),
    Failure("vmcoredd.emu.control.client", "ControlError", Exit.NO_DEVICE),
    Failure("vmcoredd.emu.errors", "EmuError", Exit.FAILED),
    Failure("vmcoredd.driver.errors", "WorkerDied", Exit.FAILED),
    Failure("vmcoredd.driver.real.errors", "Refused", Exit.UNAVAILABLE),
    Failure("vmcoredd.driver.errors", "DriverError", Exit.NO_DEVICE),
    Failure("pyvfio_user.errors", "ServerUnavailable", Exit.UNAVAILABLE),
    Failure("pyvfio_user.errors", "ListenError", Exit.FAILED),
    Failure("pyvfio_user.errors", "VfioUserError", Exit.NO_DEVICE),
    Failure("vmcoredd.fleet.sweep.errors", "ClusterError", Exit.UNAVAILABLE),
    Failure("vmcoredd.fleet.sweep.errors", "SweepError", Exit.FAILED),
    Failure("vmcoredd.debs.errors", "Unavailable", Exit.UNAVAILABLE),
    Failure("vmcoredd.qemu.errors", "QemuUnusable", Exit.UNAVAILABLE),
    Failure("vmcoredd.qemu.errors", "GuestError", Exit.FAILED),
    Failure("vmcoredd.fleet.archive.errors", "NotAnArchive", Exit.USAGE),
    Failure("vmcoredd.fleet.archive.errors", "OtherSchema", Exit.BAD_FILE),
    Failure(
        "vmcoredd.fleet.archive.errors",
        "BadQuery",
        Exit.USAGE,
        '`vmcoredd archive query --in ARCHIVE "describe findings"` shows the columns of a table',
    ),
    Failure("vmcoredd.fleet.archive.errors", "ArchiveError", Exit.FAILED),
)
"""The first match applies. A room that was not imported cannot have raised an error."""

MISSING_MODULE = Failure("builtins", "ModuleNotFoundError", Exit.UNAVAILABLE)


def failure_of(error: BaseException) -> Failure | None:
    """Returns how to report `error`; None for a bug in this program, which gets a traceback."""
    for failure in FAILURES:
        kind = getattr(sys.modules.get(failure.module), failure.name, None)
        if kind is not None and isinstance(error, kind):
            return failure
    if isinstance(error, ModuleNotFoundError) and remedy_of(error):
        return MISSING_MODULE._replace(hint=remedy_of(error))
    if isinstance(error, OSError):
        return Failure("builtins", "OSError", Exit.FAILED)
    return None


def remedy_of(error: ModuleNotFoundError) -> str:
    """Returns what to type where a module is missing; empty for one of our own, which is a bug."""
    name = error.name or ""
    room, _, rest = name.partition(".")
    if room == "pyvfio_user":
        return "pyvfio-user is a separate distribution: pip install ./pyvfio_user from the source"
    if room == "vmcoredd":
        compiled = rest.rpartition(".")[2].startswith("_")
        return "its C part was not built: `pip install .` in the source builds it" * compiled
    from vmcoredd.debs.errors import pip_line

    return pip_line(name)


@contextmanager
def about(subject: Path | str) -> Iterator[None]:
    """Names the input, a file or an option, in errors about it that are raised in this context.

    Of nested contexts the innermost is named. An error of the operating system names its own file.
    """
    with _named(name_of(subject), {Exit.BAD_FILE, Exit.USAGE, Exit.INCOMPLETE}):
        yield


@contextmanager
def writing(output: Path | str) -> Iterator[None]:
    """Names the output in errors of this context that are not about an input."""
    with _named(output, {Exit.FAILED}):
        yield


@contextmanager
def _named(subject: Path | str, codes: Collection[Exit]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure and (failure.code in codes or isinstance(error, OSError)):
            error.add_note(str(subject))
        raise


def name_of(source: Path | str) -> str:
    """Returns how messages name a file: `-` is a standard stream."""
    return "standard input" if str(source) == "-" else str(source)


def message(error: BaseException) -> str:
    """Returns an error in words: the file or option, then what is wrong; may have several lines."""
    text = str(error)
    subject = next(iter(getattr(error, "__notes__", [])), "")
    if isinstance(error, ModuleNotFoundError):
        text = f"this Python lacks the module {error.name}"
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror  # str() begins with [Errno 17]
        subject = " -> ".join(map(str, filter(None, (error.filename, error.filename2)))) or subject
    return f"{subject}: {text}" if subject and not text.startswith(f"{subject}:") else text


def report(error: BaseException | str, source: Path | str = "") -> None:
    """Prints an error on stderr, and before it the `source` that it came from."""
    text = error if isinstance(error, str) else message(error)
    name = name_of(source)
    lead = f"{name}: " if name and not text.startswith(f"{name}:") else ""
    err.print(visible_lines(f"vmcoredd: {lead}{text}"), markup=False)


def reported(main: Callable[[], object], of_errors: int | None = None) -> int:
    """Runs `main` and reports its errors. Returns the exit code: `main`'s if it returns one.

    `of_errors` replaces each error's own exit code, but not that of an interruption.
    """
    code = _code_of(main, of_errors)
    try:
        sys.stdout.flush()  # else Python flushes at exit and, if that fails, exits with 120
    except BrokenPipeError:
        discard_results()
    except OSError as error:
        discard_results()
        report(error, "the output")
        return of_errors or code or Exit.FAILED
    return code


def _code_of(main: Callable[[], object], of_errors: int | None) -> int:
    try:
        code = main()
    except Ended as end:
        end.arrived = True
        err.print(end.message)
        return int(end.code or Exit.INTERRUPTED)
    except KeyboardInterrupt:
        err.print("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        discard_results()
    except SystemExit as end:
        if end.code == Exit.FAILED:  # so end the parser and its help where the pipe is closed
            discard_results()
            return Exit.OK
        return int(end.code or Exit.OK)
    except _UsageError as error:
        _report_usage(error)
        return of_errors or Exit.USAGE
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        report(error)
        if failure.hint:
            err.print(failure.hint, markup=False)
        return of_errors or failure.code
    else:
        return code if isinstance(code, int) else Exit.OK
    return of_errors or Exit.OK


def _report_usage(error: Any) -> None:
    """Reports wrong usage as any other error: the option, what is wrong, and where help is."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return  # the help is printed
    text, subject = error.format_message(), _option(error)
    if subject and error.message:
        text = f"{subject}: {error.message.removeprefix('Value error, ')}"
    report(text)
    if error.ctx is not None:
        err.print(f"`{error.ctx.command_path} --help` shows the usage", markup=False)


def _option(error: Any) -> str:
    """Returns the option or argument that an error is about, or an empty text."""
    hint, parameter = getattr(error, "param_hint", None), getattr(error, "param", None)
    if hint or parameter is None:
        return hint if isinstance(hint, str) else ""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper())
