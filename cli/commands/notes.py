"""`vmcoredd notes`: lists the notes of a vmcore."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about
from vmcoredd.cli.foreign import is_foreign
from vmcoredd.cli.inputs import opened
from vmcoredd.cli.options import InputVmcore, Json
from vmcoredd.cli.output import emit_json, err, out, table, visible
from vmcoredd.plural import agreeing, counted

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd notes vmcore`")(notes)


CONDITIONS = ("good", "partial", "absent", "missing", "left_out")
"""Of the entities of a dump; see `cudbg.status`."""
MOST_ROWS = 500
"""On the screen; a table of a thousand rows takes a second."""
MOST_LINES = 20
"""About damage, and about what is unknown."""
MOST_BYTES = 8 << 20
"""Of it, where REG_DUMP is needed to tell what the adapter has from what it lacks."""


def notes(
    path: InputVmcore,
    every: Annotated[
        bool, typer.Option("--all", help=f"List all notes in the tables, not only {MOST_ROWS}.")
    ] = False,
    json: Json = False,
) -> None:
    """List the notes of a vmcore, and the adapter and entities of each device dump.

    Reads only headers, and the registers of device dumps. Lists a damaged file as far as possible,
    with the damage on stderr; the exit code is then 3. Says on stderr, too, what this version does
    not know of an intact dump, such as its chip, and what a dump lacks although the adapter has it:
    for the latter the exit code is 5.
    """
    with about(path), opened(path) as reader:
        listed = reader.notes if every or json else _first(reader)
        rows = [describe(reader, note) for note in listed]
        damage = [str(error) for error in reader.damage]
        left_out = len(reader.notes) - len(rows)
    damage += [f"note {row['index']}: {row['damage']}" for row in rows if row["damage"]]
    if json:
        emit_json("notes", {"file": str(path), "notes": rows, "damage": damage})
    else:
        _show(rows, left_out)
    _show_lines("damaged", damage)
    for what in ("unknown", "lacks"):
        _show_lines(what, [f"note {row['index']}: {line}" for row in rows for line in row[what]])
    if damage:
        raise typer.Exit(Exit.BAD_FILE)
    if any(row["lacks"] for row in rows):
        raise typer.Exit(Exit.INCOMPLETE)


def _first(reader: vmcore.Reader) -> list[vmcore.Note]:
    """Returns the notes that fit the tables, in the order of the file: device dumps above all."""
    dumps = reader.device_dumps[:MOST_ROWS]
    others = [note for note in reader.notes if not note.is_device_dump]
    chosen = [*dumps, *others[: MOST_ROWS - len(dumps)]]
    return sorted(chosen, key=lambda note: note.index)


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
        "is_foreign": False,
        "adapter": None,
        **dict.fromkeys(CONDITIONS),
        "lacks": [],
        "unknown": [],
        "damage": None,
    }
    if is_foreign(reader, note):
        record["is_foreign"] = True
    elif note.is_device_dump:
        record |= _adapter(reader, note)
    return record


def _adapter(reader: vmcore.Reader, note: vmcore.Note) -> dict[str, Any]:
    """Returns the fields of a cudbg dump's header."""
    from vmcoredd import cudbg
    from vmcoredd.cudbg.in_note import HEAD_BYTES

    payload = reader.payload(note.index, partial=True, most=HEAD_BYTES)
    try:
        dump = cudbg.Dump(payload)
    except cudbg.UnknownFormat as error:
        return {"unknown": [str(error)]}
    except cudbg.DumpFormatError as error:
        return {"damage": str(error)}
    dump = _with_registers(reader, note.index, dump)
    lost = dump.lost(note.present)
    counts = Counter(str(found.condition) for found in dump.entities if found.name not in lost)
    counts["missing"] += len(lost)
    lacks = [f"{found.name}: {found.status}" for found in dump.entities if found.is_incomplete]
    counted = {condition: counts[condition] for condition in CONDITIONS}
    damage = dump.cut or cut_off(dump, note, lost)
    return described(dump) | counted | {"lacks": lacks, "damage": damage or None}


def cut_off(dump: cudbg.Dump, note: vmcore.Note, lost: list[str]) -> str:
    """Returns what is lost of a dump whose end is missing; empty if nothing is."""
    from vmcoredd.cudbg import in_note

    return in_note.cut_off(dump, note, lost)


def _with_registers(reader: vmcore.Reader, index: int, head: cudbg.Dump) -> cudbg.Dump:
    """Reads as much more of a dump as tells whether the adapter has the entities not found."""
    from vmcoredd import cudbg
    from vmcoredd.cudbg.in_note import HEAD_BYTES

    needed = head.bytes_for_conditions
    if not HEAD_BYTES < needed <= MOST_BYTES:
        return head
    return cudbg.Dump(reader.payload(index, partial=True, most=needed))


def described(dump: cudbg.Dump) -> dict[str, Any]:
    """Returns what a dump's header says, and what of it is not known."""
    return {
        "adapter": dump.adapter,
        "chip_version": dump.header.chip_ver,
        "format": dump.version,
        "byte_order": dump.byte_order,
        "compression": dump.compression,
        "unknown": list(dump.unknowns),
    }


def _show(rows: list[dict[str, Any]], left_out: int) -> None:
    """Prints the table of the notes and that of the device dumps."""
    if not rows:
        out.print("no notes")
        return
    table("", ("#", "offset", "bytes", "owner", "type", "device dump"), [*map(_note, rows)])
    dumps = [row for row in rows if row["adapter"]]
    if dumps:
        slim = any(row["left_out"] for row in dumps)
        keys = ("adapter", *(CONDITIONS if slim else CONDITIONS[:-1]), "compression")
        cells = [[row["index"], *(row[key] for key in keys)] for row in dumps]
        table("Adapters", ("#", *(key.replace("_", " ") for key in keys)), cells)
    if foreign := [str(row["index"]) for row in rows if row["is_foreign"]]:
        numbers = ", ".join(foreign[:MOST_LINES]) + ", ..." * (len(foreign) > MOST_LINES)
        hint = "`vmcoredd extract` writes such a dump to a file"
        out.print(f"other drivers' device dumps: note {numbers}; {hint}", markup=False)
    if left_out:
        out.print(
            f"{counted(left_out, 'more note')}: --all lists {agreeing(left_out, 'it', 'them')}"
        )


def _note(row: dict[str, Any]) -> tuple[object, ...]:
    kind = row["type_name"] or "no note"
    if row["type"] is not None and not kind.startswith("NT_"):
        kind = f"{row['type']:#x}"
    place = f"{row['offset_bytes']:#x}"
    return row["index"], place, row["size_bytes"], row["owner"] or "", kind, row["name"] or ""


def _show_lines(what: str, lines: list[str]) -> None:
    """Prints the first lines about what is `damaged` or `unknown`, or what a dump `lacks`."""
    for line in lines[:MOST_LINES]:
        err.print(visible(f"{what}: {line}"), markup=False, style="yellow")
    if len(lines) > MOST_LINES:
        more = len(lines) - MOST_LINES
        err.print(
            f"{what}: {counted(more, 'more place')}: --json lists {agreeing(more, 'it', 'them')}",
            style="yellow",
        )
