"""`vmcoredd extract`: a device dump out of a vmcore, as a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.exit_codes import Exit, about
from vmcoredd.cli.output import err, out, size
from vmcoredd.cli.progress import copying


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd extract vmcore --index 0 -o dump.bin`")(extract)


def extract(
    path: Annotated[Path, typer.Argument(metavar="VMCORE", help="The vmcore to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    index: Annotated[int, typer.Option(help="Which note, as `vmcoredd notes` counts them.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a note's payload: of a device dump, what stands behind its 64-byte note header.

    If the file ends within the payload, what there is is written, and the exit code is 5.
    """
    from vmcoredd import vmcore

    with about(path), vmcore.Reader(path) as reader:
        note = reader.note(index)
        with copying(output.name) as progress:
            written = reader.extract(index, output, force=force, partial=True, progress=progress)
    out.print(f"{output}: {size(written)} ({written:,} bytes)", markup=False)
    if written < note.payload_size:
        missing = note.payload_size - written
        err.print(f"the vmcore ends early: the last {missing:,} bytes are missing", style="yellow")
        raise typer.Exit(Exit.INCOMPLETE)
