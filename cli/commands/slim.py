"""`vmcoredd slim`: makes a vmcore small enough, and clean enough, to be passed on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about, report, writing
from vmcoredd.cli.foreign import is_foreign
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.options import Force, InputVmcore, Json, Redact, StreamedVmcore, choose
from vmcoredd.cli.output import copying, emit_json, leave_stdout_to, out, size
from vmcoredd.cli.redaction import Redaction
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.cudbg.left_out import Why
    from vmcoredd.vmcore.extents import MemoryFile

EXAMPLES = """Examples: `vmcoredd slim vmcore -o small` - without the memories of the adapters;
`vmcoredd slim vmcore -o small --without EDC0,MC0` - without these two;
`vmcoredd slim vmcore -o small --redact` - with pseudonyms for keys, MACs and serials"""
_AS_IT_IS = (
    "nothing is written; `vmcoredd slim` without --redact leaves the memories out, "
    "`vmcoredd extract` copies the dump as it is: both keep its private data"
)
SEARCHED_BYTES = 1 << 20
"""Of a note of the crashed kernel: with --redact, a larger one is left out."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(slim)


def slim(
    path: InputVmcore,
    output: StreamedVmcore,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Leave these entities out: names with commas between them, or `none`; repeatable. "
            "By default the adapter's memories.",
        ),
    ] = None,
    redact: Redact = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a copy of a vmcore with its notes only, and without the memories of the adapters.

    The memory of the crashed kernel is left out. Entities that are left out are marked: `show` and
    `notes` tell them from those that are damaged. All other notes are kept byte for byte. Says what
    private data remain. The exit code is 3 if something of the file is damaged, 5 if --redact has
    to leave out a whole note.
    """
    from vmcoredd import vmcore

    names = _names(without)
    with writing(output):
        vmcore.check_output(output, force=force)
    if json and vmcore.is_stdout(output):
        raise typer.BadParameter("the result goes to stdout; give it a file", param_hint="--json")
    leave_stdout_to(output)
    with about(path), opened(path) as reader:
        slimming = _Slimming(reader, names, redact)
        with writing(output), copying(output.name) as advance:
            total = vmcore.write_notes(
                output, reader, slimming.payloads, force=force, progress=advance
            )
    if json:
        emit_json("slim", slimming.record(path, output, total))
    else:
        slimming.print(output, total)
    for line in (*slimming.lost, *slimming.damage):
        report(line, path)
    if slimming.damage:
        raise typer.Exit(Exit.BAD_FILE)
    if slimming.lost:
        raise typer.Exit(Exit.INCOMPLETE)


def _names(without: list[str] | None) -> list[str]:
    """Returns the names of --without; those of all memories by default."""
    from vmcoredd.cudbg.entity import Stage, entities
    from vmcoredd.cudbg.names import resolved

    if without is None:
        return [name for name, known in entities().items() if known.stage == Stage.MEMORIES]
    given = [name.strip() for names in without for name in names.split(",") if name.strip()]
    known = {entity.number: entity.name for entity in entities().values()}
    meant = [resolved(name, known) for name in given]
    chosen = [choose(name, ("none", *entities()), "--without", "entity") for name in meant]
    return [name for name in chosen if name != "none"]


@dataclass
class _Slimmed:
    """A device dump of the result."""

    note: vmcore.Note
    size: int
    left_out: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)


class _Slimming:
    """What replaces the payloads of a file, and what the result holds."""

    def __init__(self, reader: vmcore.Reader, names: list[str], redact: bool) -> None:
        self._reader, self._names = reader, names
        self._redaction = Redaction() if redact else None
        self.payloads: dict[int, MemoryFile | None] = {}
        self.dumps: list[_Slimmed] = []
        self.lost: list[str] = []
        self.damage = [f"damaged: {error}" for error in reader.damage]
        self._kernel_notes = 0
        refused = self._learnt()
        for note in reader.notes:
            if note.index in refused:
                self._refuse(note, refused[note.index])
            elif note.is_device_dump:
                self._slim(note)
            else:
                self._keep(note)

    def _learnt(self) -> dict[int, cudbg.DumpFormatError]:
        if self._redaction is None:
            return {}
        return self._redaction.learn(self._reader, self._reader.device_dumps)

    def _refuse(self, note: vmcore.Note, reason: cudbg.DumpFormatError) -> None:
        """Leaves a dump out that cannot be cleaned; raises the reason if the file is that dump."""
        if self._reader.format == "payload":
            from vmcoredd import cudbg

            kind = (
                cudbg.UnknownFormat
                if isinstance(reason, cudbg.UnknownFormat)
                else cudbg.DumpFormatError
            )
            raise kind(f"{reason}\n{_AS_IT_IS}") from reason
        self._leave_out(note, str(reason))

    def _leave_out(self, note: vmcore.Note, reason: str) -> None:
        self.payloads[note.index] = None
        self.lost.append(f"note {note.index} is left out: {reason}")

    def _keep(self, note: vmcore.Note) -> None:
        """Keeps a note of the crashed kernel as it is, unless a private value is in it."""
        self._kernel_notes += 1
        if self._redaction is None:
            return
        if note.present > SEARCHED_BYTES:
            self._leave_out(note, f"{size(note.present)} are too many to search for private data")
            return
        from vmcoredd import vmcore

        data = bytes(self._reader.payload(note.index, partial=True))
        if (clean := self._redaction.cleaned_bytes(data)) != data:
            self.payloads[note.index] = vmcore.memory_of(clean)

    def _slim(self, note: vmcore.Note) -> None:
        from vmcoredd import cudbg, vmcore

        kept = _Slimmed(note, note.present)
        self.dumps.append(kept)
        if is_foreign(self._reader, note):
            kept.contents.append("another driver's device dump, as it was")
            return
        try:
            dump = dump_of(self._reader, note)
            data = self._copy(dump)
        except cudbg.DumpFormatError as error:
            kept.contents.append(f"as it was: {error}")
            damaged = not isinstance(error, cudbg.UnknownFormat)
            (self.damage if damaged else self.lost).append(f"note {note.index}: {error}")
            return
        self.payloads[note.index] = vmcore.memory_of(data)
        self._describe(kept, cudbg.Dump(data), dump)

    def _copy(self, dump: cudbg.Dump) -> bytearray:
        from vmcoredd.cudbg.left_out import Why
        from vmcoredd.cudbg.slim import slimmed

        chosen: dict[str, Why] = dict.fromkeys(self._names, Why.CHOSEN)
        if self._redaction is None:
            return slimmed(dump, chosen)
        return self._redaction.cleaned(dump, chosen)

    def _describe(self, kept: _Slimmed, made: cudbg.Dump, dump: cudbg.Dump) -> None:
        from vmcoredd.cudbg.private import contents

        kept.size = len(made.data)
        for before, after in zip(dump.entities, made.entities, strict=True):
            if after.left_out and not before.left_out:
                kept.left_out.append(after.name)
                if "damaged" in after.left_out:
                    self.damage.append(f"damaged: {after.name} is left out")
        kept.contents += contents(made, redacted=self._redaction is not None)

    def record(self, path: Path, output: Path, total: int) -> dict[str, Any]:
        """Returns what the result holds, for programs."""
        return {
            "file": str(path),
            "output": str(output),
            "size_bytes": total,
            "redacted": self._redaction is not None,
            "kernel_notes": self._kernel_notes,
            "dumps": [
                {
                    "index": kept.note.index,
                    "name": kept.note.name,
                    "size_bytes": kept.size,
                    "left_out": kept.left_out,
                    "contents": kept.contents,
                }
                for kept in self.dumps
            ],
            "lost": self.lost,
            "damage": self.damage,
        }

    def print(self, output: Path, total: int) -> None:
        """Says what the result holds."""
        for kept in self.dumps:
            out.say(f"{kept.note.name}: {size(kept.size)}, was {size(kept.note.present)}")
            for line in _lines(kept):
                out.say(f"  {line}")
        if self._kernel_notes:
            notes = counted(self._kernel_notes, "note")
            out.print(f"crashed kernel: {notes} (registers of its processors, VMCOREINFO)")
        out.print(f"{output}: {size(total)}", markup=False)


def _lines(kept: _Slimmed) -> Iterator[str]:
    if kept.left_out:
        yield f"left out: {', '.join(kept.left_out)}"
    yield from (f"contains {line}" for line in kept.contents)
