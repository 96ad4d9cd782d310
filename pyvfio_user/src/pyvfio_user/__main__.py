"""`python -m pyvfio_user`: what a vfio-user device shows, and whether its server conforms."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence

from . import conformance
from .conformance import Outcome, Report, Section
from .errors import VfioUserError
from .probe import probe

PROGRAM = "python -m pyvfio_user"
ABOUT = "Show what a vfio-user device is, or check whether its server conforms to the protocol."
CODES = """exit codes:
  0  done; of check: everything that the server offers is as the protocol says
  1  check: at least one check failed
  2  wrong usage; the server cannot be reached; check: none failed, but some could not run
"""
START = """
COMMAND starts the server at SOCKET, anew for each connection: for servers that serve one client
only, and to see which check a server dies of.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code. Raises SystemExit for a wrong command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = words.index("--") if "--" in words else len(words)
    parser = _parser()
    options = parser.parse_args(words[:at])
    if at < len(words) and options.run is not _check:
        parser.error("only check starts a server; leave out -- and what follows it")
    options.start = words[at + 1 :]
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (VfioUserError, conformance.Gone) as error:
        print(f"pyvfio_user: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(PROGRAM, description=ABOUT, epilog=CODES)
    parser.formatter_class = raw
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, says in (
        ("probe", _probe, "Show what a server says of its device; no BAR is accessed."),
        (
            "check",
            _check,
            "Check a server against the protocol's specification; resets the device.",
        ),
    ):
        usage = f"{PROGRAM} {name} [options] SOCKET" + (" [-- COMMAND...]" * (name == "check"))
        command = commands.add_parser(
            name, help=says, description=says, epilog=CODES + START * (name == "check"), usage=usage
        )
        command.formatter_class = raw
        command.set_defaults(run=run)
        command.add_argument("socket", metavar="SOCKET", help="path of the server's Unix socket")
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
        command.add_argument(
            "--deadline",
            type=_seconds,
            default=5.0,
            metavar="SECONDS",
            help="wait so long for each reply (default: %(default)g; at most 3600)",
        )
        if name == "check":
            _add_check(command)
    return parser


def _add_check(command: argparse.ArgumentParser) -> None:
    names = [check.name for check in conformance.CHECKS]
    command.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=names,
        help="run only this check, named as in the report; repeat for more",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0 and at most 3600 seconds")
    return seconds


def _probe(options: argparse.Namespace) -> int:
    found = probe(options.socket, options.deadline)
    if options.json:
        print(json.dumps(found.json(), indent=2))
    else:
        print("\n".join(found.lines()))
    return 0


def _check(options: argparse.Namespace) -> int:
    target = conformance.Target(options.socket, options.deadline, options.start)
    report = conformance.run(target, options.only)
    if options.json:
        print(json.dumps(report.json(), indent=2))
    else:
        print("\n".join(_report(report)))
    return report.exit_code


def _report(report: Report) -> Iterator[str]:
    for section in Section:
        rows = [result for result in report.results if result.section == section.value]
        if rows:
            yield f"\n{section.value}"
        for row in rows:
            yield f"  {row.outcome.value:11}  {row.check}: {row.says}"
            if row.reason:
                yield f"               {row.reason}"
    counts = (f"{report.count(outcome)} {outcome.value}" for outcome in Outcome)
    yield f"\n{report.path}: {', '.join(counts)}"


if __name__ == "__main__":
    sys.exit(main())
