"""`vmcoredd doctor`: says which of the things that the commands need this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, out, visible_lines

if TYPE_CHECKING:
    from vmcoredd.cli.checks import Check


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd doctor`")(doctor)


def doctor(json: Json = False) -> None:
    """Check this machine for what the commands need; print the line to type for what is missing.

    Changes nothing. What is "later" is downloaded or built at first use; commands work without
    what is "optional". The exit code is 6 if something is missing.
    """
    from vmcoredd.cli.checks import State, checks

    found: list[Check] = []
    for check in checks():
        found.append(check)
        if not json:
            _show(check)
    missing = sum(check.state is State.MISSING for check in found)
    if json:
        records = [check._asdict() for check in found]
        emit_json("doctor", {"missing": missing, "checks": records})
    else:
        out.print(f"{missing} missing" if missing else "nothing is missing")
    if missing:
        raise typer.Exit(Exit.UNAVAILABLE)


def _show(check: Check) -> None:
    text = f"{check.state:<8}  {check.name:<20}  {check.found}"
    out.print(visible_lines(text), markup=False)
    if check.state != "ok":
        out.print(f"{'':<32}for {check.needed_for}", markup=False)
    if check.remedy:
        out.print(f"{'':<32}$ {check.remedy}", markup=False)
