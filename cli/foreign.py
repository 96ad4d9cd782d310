"""Device dumps of other drivers: commands list, name and extract them, and never refuse them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmcoredd.cli.output import ROW_BYTES, emit_json, err, hex_row, out, visible
from vmcoredd.plural import agreeing, counted

if TYPE_CHECKING:
    from vmcoredd import vmcore

HEAD_BYTES = 256
"""Of another driver's payload, shown in hex."""
_MOST_LINES = 20


def is_foreign(reader: vmcore.Reader, note: vmcore.Note) -> bool:
    """Returns whether a device dump is another driver's, by its first bytes and its name."""
    from vmcoredd.cudbg import in_note

    return in_note.is_foreign(reader, note)


def foreign_dumps(reader: vmcore.Reader) -> list[vmcore.Note]:
    """Returns the device dumps of other drivers, in the order of the file."""
    return [note for note in reader.device_dumps if is_foreign(reader, note)]


def decodable_dumps(reader: vmcore.Reader) -> list[vmcore.Note]:
    """Returns the other device dumps: those in the format that this program decodes."""
    return [note for note in reader.device_dumps if not is_foreign(reader, note)]


def others_record(reader: vmcore.Reader) -> dict[str, Any]:
    """Returns the device dumps of other drivers as a part of a record for programs."""
    return {
        "other_drivers": [
            {"index": note.index, "name": note.name, "size_bytes": note.payload_size}
            for note in foreign_dumps(reader)
        ]
    }


def what_to_do(note: vmcore.Note, path: Path) -> str:
    """Returns a sentence with the command that writes a dump to a file."""
    output = f"note{note.index}.bin"
    return f"`vmcoredd extract {shlex.quote(str(path))} --index {note.index} -o {output}` writes it"


def say_foreign(reader: vmcore.Reader, path: Path) -> None:
    """Says on stderr which device dumps of the file are left aside, since they are others'."""
    found = foreign_dumps(reader)
    for note in found[:_MOST_LINES]:
        name = visible(str(note.name))
        lead = f"note {note.index} ({name}) is another driver's device dump"
        err.print(f"{lead}: {what_to_do(note, path)}", markup=False)
    if len(found) > _MOST_LINES:
        more = len(found) - _MOST_LINES
        what, them = counted(more, "more device dump"), agreeing(more, "it", "them")
        err.print(f"{what} of other drivers: `vmcoredd notes` lists {them}")


def show_foreign(reader: vmcore.Reader, note: vmcore.Note, path: Path, *, json: bool) -> None:
    """Shows what can be told of another driver's dump: its name, its size and its first bytes."""
    head = bytes(reader.payload(note.index, partial=True, most=HEAD_BYTES))
    if json:
        emit_json("show", {"file": str(path), **_record(reader, note, head)})
        return
    out.say(
        f"{note.name}: another driver's device dump, {counted(note.payload_size, 'byte')}",
        style="bold",
    )
    for at in range(0, len(head), ROW_BYTES):
        out.say(f"  {hex_row(at, head[at : at + ROW_BYTES])}")
    if note.payload_size > len(head):
        out.say(f"  ... {counted(note.payload_size - len(head), 'more byte')}")
    out.print(f"{what_to_do(note, path)}, for that driver's own tools", markup=False)


def _record(reader: vmcore.Reader, note: vmcore.Note, head: bytes) -> dict[str, Any]:
    unknown = ("adapter", "chip_version", "format", "byte_order", "compression")
    return {
        "index": note.index,
        "name": note.name,
        **dict.fromkeys(unknown),
        "unknown": ["another driver's device dump"],
        "rows_left_out": False,
        "first_bytes": head,
        **others_record(reader),
        "entities": [],
    }
