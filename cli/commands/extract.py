"""`vmcoredd extract`: copies the payload of a note of a vmcore to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about, writing
from vmcoredd.cli.inputs import opened
from vmcoredd.cli.options import Force, InputVmcore, Json
from vmcoredd.cli.output import copying, emit_json, err, leave_stdout_to, out, size
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import vmcore


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd extract vmcore --index 0 -o dump.bin`")(extract)


def extract(
    path: InputVmcore,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is stdout.")],
    index: Annotated[int, typer.Option(help="The note's index (`vmcoredd notes`).")] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a note's payload to a file. A device dump's payload excludes its 64-byte note header.

    If the vmcore ends within the payload, writes the part before the end; the exit code is then 5.
    """
    from vmcoredd.vmcore import is_stdout

    if json and is_stdout(output):
        raise typer.BadParameter("the result goes to stdout; give it a file", param_hint="--json")
    leave_stdout_to(output)
    with about(path), opened(path) as reader:
        note = reader.note(index)
        with writing(output), copying(output.name) as progress:
            written = reader.extract(index, output, force=force, partial=True, progress=progress)
    missing = note.payload_size - written
    if json:
        emit_json("extract", {"file": str(path), **_record(note, output, written, missing)})
    else:
        out.print(f"{output}: {size(written)} ({counted(written, 'byte')})", markup=False)
    if missing:
        err.print(
            f"the vmcore ends early: the last {counted(missing, 'byte is', 'bytes are')} missing",
            style="yellow",
        )
        raise typer.Exit(Exit.INCOMPLETE)


def _record(note: vmcore.Note, output: Path, written: int, missing: int) -> dict[str, Any]:
    """Returns what was written, for programs."""
    return {
        "index": note.index,
        "name": note.name,
        "output": str(output),
        "size_bytes": written,
        "missing_bytes": missing,
    }
