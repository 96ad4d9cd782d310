"""`vmcoredd`: the command. Each sub-command has its module in `cli/commands/`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.main import get_command

from vmcoredd.cli.commands import (
    archive,
    bench,
    cache,
    cards,
    control,
    demo,
    diagnose,
    diff,
    doctor,
    dump,
    emulate,
    extract,
    guest,
    notes,
    replay,
    report,
    show,
    slim,
    sweep,
    top,
    trace,
)
from vmcoredd.cli.exit_codes import MEANINGS, reported
from vmcoredd.cli.options import lists_for_callbacks, name_values
from vmcoredd.cli.output import out

EPILOG = "Exit codes: " + "; ".join(f"{code.value} {text}" for code, text in MEANINGS.items())

app = typer.Typer(
    name="vmcoredd",
    help="Emulate Chelsio T5/T6 adapters, and make and read crash-time device dumps.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for module in (
    cards,
    emulate,
    dump,
    notes,
    show,
    report,
    slim,
    diagnose,
    extract,
    diff,
    guest,
    sweep,
    trace,
    top,
    replay,
    demo,
    bench,
    doctor,
):
    module.register(app)
app.add_typer(control.app, name="control")
app.add_typer(archive.app, name="archive")
app.add_typer(cache.app, name="cache")


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


def main(of_errors: int | None = None) -> None:
    """Runs the command and exits with one of `exit_codes.Exit`: after an error with `of_errors`."""
    command = get_command(app)
    name_values(command)
    lists_for_callbacks(command)
    sys.exit(
        reported(
            lambda: command.main(prog_name="vmcoredd", standalone_mode=False),
            of_errors,
        )
    )
