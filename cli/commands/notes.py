"""`vmcoredd notes`: what a vmcore holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about
from vmcoredd.cli.output import emit_json, err, size, table

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd notes vmcore`")(notes)


def notes(
    path: Annotated[Path, typer.Argument(metavar="VMCORE", help="ELF, or makedumpfile's format.")],
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the notes of a vmcore, device dumps with adapter and entities.

    Reads a few kilobytes, however large the file is. A damaged file is read as far as it goes;
    what is wrong with it is said on stderr, and the exit code is 3.
    """
    from vmcoredd import vmcore

    with about(path), vmcore.Reader(path) as reader:
        rows = [describe(reader, note) for note in reader.notes]
        damage = [str(error) for error in reader.damage]
    damage += [f"note {row['index']}: {row['damage']}" for row in rows if row["damage"]]
    if json:
        emit_json({"file": str(path), "notes": rows, "damage": damage})
    else:
        _show(rows)
    for line in damage:
        err.print(f"damaged: {line}", markup=False, style="yellow")
    if damage:
        raise typer.Exit(Exit.BAD_FILE)


def describe(reader: vmcore.Reader, note: vmcore.Note) -> dict[str, Any]:
    """One note as a record: what ELF says, and for a device dump of ours what its header says."""
    record: dict[str, Any] = {
        "index": note.index,
        "offset": note.offset,
        "size": note.size,
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
    """What the dump's own header tells; a payload of another driver's is left unsaid."""
    from vmcoredd import cudbg

    payload = reader.payload(index, partial=True)
    if not cudbg.is_dump(payload):
        return {}
    try:
        dump = cudbg.Dump(payload)
        adapter, compression = adapter_name(dump), "zlib" if dump.compressed else "none"
    except cudbg.DumpFormatError as error:
        return {"damage": str(error)}
    good = sum(entity.good for entity in dump.entities)
    failed = len(dump.entities) - good
    return {"adapter": adapter, "good": good, "failed": failed, "compression": compression}


def adapter_name(dump: cudbg.Dump) -> str:
    """Chip and revision: `T6 rev 0`."""
    return f"{dump.chip!r} rev {dump.revision}"


def _show(rows: list[dict[str, Any]]) -> None:
    columns = ("#", "offset", "size", "owner", "type", "device dump", "adapter", "good", "failed")
    table(
        "",
        columns,
        [
            (
                row["index"],
                f"{row['offset']:#x}",
                f"{row['size']:#010x} ({size(row['size'])})",
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
