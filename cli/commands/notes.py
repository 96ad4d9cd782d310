"""`vmcoredd notes`: lists the notes of a vmcore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about
from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, err, size, table

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd notes vmcore`")(notes)


def notes(
    path: Annotated[
        Path,
        typer.Argument(metavar="VMCORE", help="The vmcore to read: ELF or makedumpfile's format."),
    ],
    json: Json = False,
) -> None:
    """List the notes of a vmcore, and the adapter and entities of each device dump.

    Reads only a few kilobytes of the file. Lists a damaged file as far as possible, with the damage
    on stderr; the exit code is then 3.
    """
    from vmcoredd import vmcore

    with about(path), vmcore.Reader(path) as reader:
        rows = [describe(reader, note) for note in reader.notes]
        damage = [str(error) for error in reader.damage]
    damage += [f"note {row['index']}: {row['damage']}" for row in rows if row["damage"]]
    if json:
        emit_json("notes", {"file": str(path), "notes": rows, "damage": damage})
    else:
        _show(rows)
    for line in damage:
        err.print(f"damaged: {line}", markup=False, style="yellow")
    if damage:
        raise typer.Exit(Exit.BAD_FILE)


def describe(reader: vmcore.Reader, note: vmcore.Note) -> dict[str, Any]:
    """Returns a note as a record: its ELF fields and, for a cudbg dump, its header's fields."""
    record: dict[str, Any] = {
        "index": note.index,
        "offset_bytes": note.offset,
        "size_bytes": note.size,
        "owner": note.owner,
        "type": note.type,
        "type_name": note.type_name,
        "name": note.name,
        "adapter": None,
        "good": None,
        "failed": None,
        "damage": None,
    }
    if note.is_device_dump:
        record |= _adapter(reader, note.index)
    return record


def _adapter(reader: vmcore.Reader, index: int) -> dict[str, Any]:
    """Returns the fields of a cudbg dump's header; none for another driver's payload."""
    from vmcoredd import cudbg

    payload = reader.payload(index, partial=True)
    if not cudbg.is_dump(payload):
        return {}
    try:
        dump = cudbg.Dump(payload)
        adapter, compression = adapter_name(dump), compression_name(dump)
    except cudbg.DumpFormatError as error:
        return {"damage": str(error)}
    good = sum(entity.good for entity in dump.entities)
    failed = len(dump.entities) - good
    return {"adapter": adapter, "good": good, "failed": failed, "compression": compression}


def adapter_name(dump: cudbg.Dump) -> str:
    """Returns chip and revision: `T6 rev 0`."""
    return f"{dump.chip!r} rev {dump.revision}"


def compression_name(dump: cudbg.Dump) -> str:
    """Returns `zlib` or `none`."""
    return "zlib" if dump.compressed else "none"


def _show(rows: list[dict[str, Any]]) -> None:
    columns = ("#", "offset", "size", "owner", "type", "device dump", "adapter", "good", "failed")
    table(
        "",
        columns,
        [
            (
                row["index"],
                f"{row['offset_bytes']:#x}",
                f"{row['size_bytes']:#010x} ({size(row['size_bytes'])})",
                row["owner"],
                f"{row['type_name']} ({row['type']:#x})",
                row["name"] or "",
                row["adapter"] or "",
                "" if row["good"] is None else str(row["good"]),
                "" if row["failed"] is None else str(row["failed"]),
            )
            for row in rows
        ],
    )
