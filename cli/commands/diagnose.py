"""`vmcoredd diagnose`: says what is wrong with the cards of a vmcore."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.notes import cut_off
from vmcoredd.cli.commands.show import first_dump
from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.foreign import is_foreign, others_record
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.options import InputVmcore, Json
from vmcoredd.cli.output import emit_json, out
from vmcoredd.cli.verdict import print_verdict

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.diagnosis import Verdict

EXAMPLES = """Examples: `vmcoredd diagnose vmcore` - the verdict on every device dump;
`vmcoredd diagnose vmcore --index 1 --json` - on one of them, for programs"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(diagnose)


def diagnose(
    path: InputVmcore,
    index: Annotated[
        int | None, typer.Option(help="The note's index; all device dumps by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what is wrong with the card: findings by severity, each with evidence and what to do.

    Causes come before their consequences. The exit code is 7 if there is a finding above `note`, 3
    if the file is damaged, 5 if the dump lacks something that the adapter has, or something could
    not be judged.
    """
    with about(path), opened(path) as reader:
        first = first_dump(reader, index, "--index")
        notes = reader.device_dumps if index is None else [first]
        judged = [_judged(reader, note) for note in notes]
        damage = [str(error) for error in reader.damage]
        others = others_record(reader)
    if json:
        record = findings_record(judged) | others
        emit_json("diagnose", {"file": str(path), **record})
    else:
        _print(judged)
    for line in [*damage, *(line for one in judged for line in one.damage)]:
        report(f"damaged: {line}", path)
    raise typer.Exit(_code(judged, damaged=bool(damage)))


def _judged(reader: vmcore.Reader, note: vmcore.Note) -> Judged:
    return Judged(note, None if is_foreign(reader, note) else partial(dump_of, reader, note))


class Judged:
    """A device dump and the verdict on it; another driver's dump has none."""

    def __init__(self, note: vmcore.Note, load: Callable[[], cudbg.Dump] | None) -> None:
        """Judges the dump that `load` returns; None for another driver's."""
        from vmcoredd import cudbg

        self.note = note
        self.foreign = load is None
        self.dump: cudbg.Dump | None = None
        self.verdict: Verdict | None = None
        self.damage: list[str] = []
        self.incomplete = False
        if load is None:
            return
        try:
            self._judge(load())
        except cudbg.DumpFormatError as error:
            self.damage.append(f"note {note.index}: {error}")

    def _judge(self, dump: cudbg.Dump) -> None:
        from vmcoredd.diagnosis import diagnose

        self.dump, self.verdict = dump, diagnose(dump)
        lost = dump.lost(self.note.present)
        damage = [dump.cut or cut_off(dump, self.note, lost)]
        damage += [] if lost else self.verdict.damage
        self.damage += [f"note {self.note.index}: {line}" for line in damage if line]
        missing = any(entity.is_incomplete for entity in dump.entities)
        self.incomplete = missing or bool(self.verdict.lost)


def findings_record(judged: list[Judged]) -> dict[str, Any]:
    """Returns all findings, what was lost, and the cards; `dump` is the index of the note."""
    found = [(one.note, one.verdict.json()) for one in judged if one.verdict]
    return {
        "cards": [{"dump": note.index, "note": note.name, **v["card"]} for note, v in found],
        "findings": [{"dump": note.index, **f} for note, v in found for f in v["findings"]],
        "lost": [f"note {note.index}: {line}" for note, v in found for line in v["lost"]],
        "damage": [line for one in judged for line in one.damage],
    }


def _print(judged: list[Judged]) -> None:
    for one in judged:
        if len(judged) > 1:
            out.say(f"note {one.note.index}, {one.note.name}")
        if one.verdict:
            print_verdict(one.verdict)
        elif one.foreign:
            out.say(f"{one.note.name}: another driver's device dump; no rule applies")
        if one is not judged[-1]:
            out.print()


def _code(judged: list[Judged], *, damaged: bool) -> Exit:
    if damaged or any(one.damage for one in judged):
        return Exit.BAD_FILE
    if any(one.verdict and one.verdict.alarming for one in judged):
        return Exit.FOUND
    return Exit.INCOMPLETE if any(one.incomplete for one in judged) else Exit.OK
