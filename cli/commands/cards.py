"""`vmcoredd cards`: lists the cards that can be emulated, and their faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, out, table

if TYPE_CHECKING:
    from vmcoredd import emu


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd cards`")(cards)


def cards(
    faults: Annotated[bool, typer.Option("--faults", help="List faults instead of cards.")] = False,
    json: Json = False,
) -> None:
    """List the cards that can be emulated, or their faults."""
    from vmcoredd import emu
    from vmcoredd.emu.profile import load

    if faults:
        _faults([{"name": f.name, "meaning": f.meaning} for f in emu.faults().values()], json)
        return
    rows = [_record(load(name)) for name in emu.profiles()]
    if json:
        emit_json(rows)
        return
    columns = ("name", "card", "chip", "device id", "ports", "memories in MiB")
    table("", columns, [tuple(row[column] for column in _KEYS) for row in rows])
    out.print("`vmcoredd emulate --card NAME` serves one; --card also accepts your own TOML file.")


_KEYS = ("name", "title", "chip", "device_id", "ports", "memory")


def _record(profile: emu.Profile) -> dict[str, Any]:
    memory = " ".join(f"{name} {size}" for name, size in vars(profile.memory).items() if size)
    return {
        "name": profile.name,
        "title": profile.card.title,
        "chip": repr(profile.chip),
        "device_id": f"{profile.card.device_id:#06x}",
        "ports": f"{profile.ports.count} x {profile.ports.speed}G",
        "memory": memory,
    }


def _faults(rows: list[dict[str, str]], json: bool) -> None:
    if json:
        emit_json(rows)
        return
    table("", ("fault", "effect"), [(row["name"], row["meaning"]) for row in rows])
