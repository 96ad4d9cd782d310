"""`vmcoredd`: the command. Each sub-command has its module in `cli/commands/`.

A module is imported when its command is asked for, so that none waits for the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command, get_group

from vmcoredd.cli.exit_codes import MEANINGS, reported
from vmcoredd.cli.output import out
from vmcoredd.cli.parsers import adapt

NAMES = (
    "cards",
    "emulate",
    "dump",
    "notes",
    "show",
    "report",
    "slim",
    "diagnose",
    "extract",
    "diff",
    "sweep",
    "trace",
    "top",
    "replay",
    "demo",
    "bench",
    "doctor",
    "guest",
    "control",
    "archive",
    "cache",
)
"""The sub-commands, and their modules, in the order of the help."""
EPILOG = "Exit codes: " + "; ".join(f"{code.value} {text}" for code, text in MEANINGS.items())

app = typer.Typer(
    name="vmcoredd",
    help="Emulate Chelsio T5/T6 adapters, and make and read crash-time device dumps.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class _SubCommands(Mapping[str, Any]):
    """The parsers of the sub-commands by name, made when they are asked for."""

    def __getitem__(self, name: str) -> Any:
        return _sub_command(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a parser; an error of its module is not taken for a name that is unknown."""
        return self[name] if name in NAMES else default

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


@cache
def _sub_command(name: str) -> Any:
    alone = typer.Typer(rich_markup_mode=app.rich_markup_mode)
    import_module(f"vmcoredd.cli.commands.{name}").register(alone)
    parser = get_group(alone).commands[name]
    adapt(parser)
    return parser


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("vmcoredd")
    except PackageNotFoundError:
        number = "(not installed)"
    out.print(f"vmcoredd {number}, libvfio-user {_library_version()}")
    raise typer.Exit


def _library_version() -> str:
    """Returns libvfio-user's version, or why there is none."""
    try:
        import pyvfio_user
    except ModuleNotFoundError:
        return "(pyvfio-user is not installed)"
    return pyvfio_user.library_version() or "(not in this build)"


@app.callback()
def vmcoredd(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the versions and exit."
        ),
    ] = False,
) -> None:
    """Emulate Chelsio T5/T6 adapters, and make and read crash-time device dumps."""


def parser() -> Any:
    """Returns the parser of the command line."""
    made: Any = get_command(app)
    adapt(made)
    made.commands = _SubCommands()
    return made


def main(of_errors: int | None = None) -> None:
    """Runs the command and exits with one of `exit_codes.Exit`: after an error with `of_errors`."""
    command = parser()
    sys.exit(
        reported(
            lambda: command.main(prog_name="vmcoredd", standalone_mode=False),
            of_errors,
        )
    )
