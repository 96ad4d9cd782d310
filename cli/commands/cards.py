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
        _faults([*emu.faults().values()], json)
        return
    rows = [_record(load(name)) for name in emu.profiles()]
    if json:
        emit_json("cards", {"cards": rows})
        return
    columns = ("name", "card", "chip", "id", "ports", "memories in MiB")
    table("", columns, [_row(row) for row in rows])
    out.print("`vmcoredd emulate --card NAME` serves one; --card also accepts your own TOML file.")


def _record(profile: emu.Profile) -> dict[str, Any]:
    sizes = vars(profile.memory).items()
    return {
        "name": profile.name,
        "title": profile.card.title,
        "chip": repr(profile.chip),
        "device_id": profile.card.device_id,
        "ports": profile.ports.count,
        "port_gbit_per_second": profile.ports.speed,
        "memory_bytes": {name: size << 20 for name, size in sizes if size},
    }


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    """Returns a card's line of the table."""
    memories = (f"{name} {size >> 20}" for name, size in record["memory_bytes"].items())
    ports = f"{record['ports']}x{record['port_gbit_per_second']}G"
    device_id = f"{record['device_id']:#06x}"
    return record["name"], record["title"], record["chip"], device_id, ports, " ".join(memories)


def _fault(fault: emu.Fault) -> dict[str, Any]:
    """Returns what --json tells of a fault."""
    takes = fault.takes
    taken = takes and {"form": takes.form, "meaning": takes.meaning, "example": takes.example}
    return {"name": fault.name, "takes": taken, "meaning": fault.meaning}


def _faults(faults: list[emu.Fault], json: bool) -> None:
    if json:
        emit_json("cards", {"faults": [_fault(each) for each in faults]})
        return
    table("", ("fault", "effect"), [(each.form, each.meaning) for each in faults])
