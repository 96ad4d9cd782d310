"""`vmcoredd cards`: lists the cards that can be emulated, their faults, and the real ones here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, out, table
from vmcoredd.cli.real_adapters import VIAS
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.driver.real.functions import Function


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: `vmcoredd cards`; `vmcoredd cards --present`")(cards)


def cards(
    faults: Annotated[bool, typer.Option("--faults", help="List faults instead of cards.")] = False,
    present: Annotated[
        bool,
        typer.Option(
            "--present",
            help="List the real adapters of this machine, their drivers, and what can be done "
            "with them.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """List the cards that can be emulated, or their faults, or this machine's real adapters.

    --present reads files of sysfs, and no register.
    """
    if present:
        if faults:
            raise typer.BadParameter("it lists emulated cards' faults", param_hint="--faults")
        _present(json)
        return
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


def _present(json: bool) -> None:
    """Lists this machine's real adapters."""
    from vmcoredd.driver.real.functions import DEVICES, SYSFS, functions

    found = [_function(function) for function in functions(SYSFS)]
    if json:
        emit_json("cards", {"present": found})
        return
    if not found:
        out.say(
            f"no PCI function here is of Chelsio's: none in {SYSFS / DEVICES} has its vendor id"
        )
        return
    for record in found:
        _show_function(record)
    adapters = counted(sum(bool(record["ways"]) for record in found), "adapter")
    out.say(f"this machine has {adapters}, of {counted(len(found), 'PCI function')} of Chelsio's")


def _function(function: Function) -> dict[str, Any]:
    """Returns what --json tells of a function; `ways` is empty unless dumps are taken of it."""
    from vmcoredd.driver.real.functions import refusals

    ways = []
    for via in VIAS if function.is_drivers else ():
        why = [{"why": each.why, "remedy": each.remedy} for each in refusals(function, via)]
        ways.append({"via": via, "possible": not why, "refusals": why})
    return {
        "address": function.address,
        "device_id": function.device_id,
        "product": function.product or None,
        "chip": repr(function.chip) if function.chip else None,
        "driver": function.driver or None,
        "interfaces": function.interfaces,
        "power_state": function.power_state or None,
        "iommu_group": function.iommu_group or None,
        "ways": ways,
    }


def _show_function(record: dict[str, Any]) -> None:
    product = record["product"] or f"device {record['device_id']:#06x}"
    names = f" ({', '.join(record['interfaces'])})" if record["interfaces"] else ""
    words = [record["address"], product, record["chip"] or "neither a T5 nor a T6"]
    words.append(f"driver {record['driver']}{names}" if record["driver"] else "no driver")
    if record["power_state"] not in (None, "unknown"):
        words.append(record["power_state"])
    out.say(", ".join(words), "bold")
    if not record["ways"]:
        out.say("    not a function that a dump is taken of")
    for way in record["ways"]:
        command = f"vmcoredd dump --pci {record['address']} --via {way['via']} -o vmcore"
        out.say(f"    {way['via']}: {f'`{command}`' if way['possible'] else 'not now'}")
        for refusal in way["refusals"]:
            out.say(f"        {refusal['why']}")
            out.say(f"        to do: {refusal['remedy']}")
