"""`vmcoredd extract`: copies a device dump from a vmcore to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.exit_codes import Exit, about, writing
from vmcoredd.cli.inputs import opened
from vmcoredd.cli.options import Force, InputVmcore
from vmcoredd.cli.output import copying, err, leave_stdout_to, out, size
from vmcoredd.plural import counted


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd extract vmcore --index 0 -o dump.bin`")(extract)


def extract(
    path: InputVmcore,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; - is stdout.")],
    index: Annotated[int, typer.Option(help="The note's index (`vmcoredd notes`).")] = 0,
    force: Force = False,
) -> None:
    """Write a note's payload to a file. A device dump's payload excludes its 64-byte note header.

    If the vmcore ends within the payload, writes the part before the end; the exit code is then 5.
    """
    leave_stdout_to(output)
    with about(path), opened(path) as reader:
        note = reader.note(index)
        with writing(output), copying(output.name) as progress:
            written = reader.extract(index, output, force=force, partial=True, progress=progress)
    out.print(f"{output}: {size(written)} ({counted(written, 'byte')})", markup=False)
    if written < note.payload_size:
        missing = note.payload_size - written
        err.print(
            f"the vmcore ends early: the last {counted(missing, 'byte is', 'bytes are')} missing",
            style="yellow",
        )
        raise typer.Exit(Exit.INCOMPLETE)
