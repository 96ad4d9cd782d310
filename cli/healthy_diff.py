"""`vmcoredd diff --with-healthy`: what of a dump differs in meaning from healthy cards of its kind.

What findings speak of comes first; then what only the comparison shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vmcoredd.cli.commands.show import first_dump, report_unknowns
from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.folding import folded_text
from vmcoredd.cli.foreign import is_foreign
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.output import emit_json, out, preparing
from vmcoredd.cli.verdict import print_card
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import vmcore
    from vmcoredd.cudbg import Dump
    from vmcoredd.cudbg.dump import DumpEntity
    from vmcoredd.cudbg.meaning import Changed, Place, Told
    from vmcoredd.diagnosis import Finding, Verdict
    from vmcoredd.raised import Twins

_INDENT = "  "
_ENTITIES_NAMED = 4


def diff_with_healthy(path: Path, index: int | None, lines: int, *, json: bool) -> None:
    """Compares a dump with healthy cards of its kind, and shows at most so many `lines` of each
    kind of difference."""
    from vmcoredd.cudbg.meaning import compare_with_healthy
    from vmcoredd.diagnosis import diagnose
    from vmcoredd.raised import NotRaisable, twins_of

    with about(path), opened(path) as reader:
        note = first_dump(reader, index, "--index")
        if is_foreign(reader, note):
            what = f"note {note.index} is another driver's dump: no card of ours is like its own"
            raise NotRaisable(what)
        dump = dump_of(reader, note)
        with preparing() as show:
            twins = twins_of(dump, lambda done, total: show("making healthy cards", done / total))
        verdict = diagnose(dump)
        spoken_of = _spoken_of(verdict)
        told = compare_with_healthy(dump, twins.dumps, modelled=twins.model, telling=spoken_of)
        if json:
            emit_json("diff", _record(path, note, twins, verdict, told))
        else:
            _Page(verdict, told, lines).show(twins)
        _end(path, dump, told)


def _end(path: Path, dump: Dump, told: Told) -> None:
    report_unknowns(dump, path)
    if dump.cut:
        report(dump.cut, path)
    if told.damaged:
        report(f"damaged: {', '.join(told.damaged)}", path)
    if told.damaged or dump.cut:
        raise typer.Exit(Exit.BAD_FILE)
    if told.differs:
        raise typer.Exit(Exit.INCOMPLETE)


def _spoken_of(verdict: Verdict) -> dict[Place, list[Finding]]:
    """Returns the registers that findings above `note` have as evidence, with those findings."""
    from vmcoredd.chip.register import BAR0
    from vmcoredd.cudbg.meaning import Place

    found: dict[Place, list[Finding]] = {}
    for finding in verdict.alarming:
        for one in finding.evidence:
            if one.word is not None and one.offset is not None:
                found.setdefault(Place(one.entity, BAR0, one.offset), []).append(finding)
    return found


def _place(one: Changed) -> Place:
    from vmcoredd.cudbg.meaning import Place

    return Place(one.word.entity, one.word.space, one.word.offset)


class _Page:
    """What a person sees."""

    def __init__(self, verdict: Verdict, told: Told, lines: int) -> None:
        self._verdict, self._told, self._lines = verdict, told, lines
        self._findings = _spoken_of(verdict)

    def show(self, twins: Twins) -> None:
        """Prints all of it: what says most comes first."""
        told = self._told
        print_card(self._verdict.card)
        beside = f"beside {counted(twins.count, 'healthy card')} of its kind: emulated, "
        out.say(f"{beside}a {twins.title}")
        missing = [f"{one.name}: {one.status}" for one in told.missing]
        self._section("missing entities", missing)
        rest = [one for one in told.registers if _place(one) not in self._findings]
        self._of_findings([one for one in told.registers if _place(one) in self._findings])
        alarms = [one for one in rest if one.alarming]
        self._registers("other registers of causes and errors", alarms)
        modelled = [one for one in rest if one.modelled and not one.alarming]
        self._registers("other registers", modelled)
        self._registers(
            "registers that the healthy cards leave at reset: a real one may have another value",
            [one for one in rest if not one.modelled and not one.alarming],
        )
        rows = (
            f"{one.entity}, {one.location}: {one.name} {one.value}, healthy {one.healthy}"
            for one in told.rows
        )
        self._section("other entities", list(rows))
        self._end()

    def _of_findings(self, registers: Sequence[Changed]) -> None:
        if not registers:
            return
        out.say("registers of which findings speak", style="bold")
        shown: set[Place] = set()
        for finding in self._verdict.alarming:
            mine = [
                one
                for one in registers
                if finding in self._findings[_place(one)] and _place(one) not in shown
            ]
            if mine:
                out.say(f"{_INDENT}{finding.severity} {finding.rule}: {finding.meaning}")
                self._print(self._lines_of(mine), _INDENT * 2)
                shown |= {_place(one) for one in mine}

    def _registers(self, title: str, registers: Sequence[Changed]) -> None:
        self._section(title, list(self._lines_of(registers)))

    def _lines_of(self, registers: Iterable[Changed]) -> Iterator[str]:
        for one in registers:
            word = one.word
            names = [word.entity, word.instance, f"{word.label} at {word.offset:#x}"]
            fields = "".join(
                f", {name} {value:#x} ({healthy:#x})"
                for name, (value, healthy) in one.fields.items()
            )
            values = f"{word.value:#010x} (healthy {one.healthy:#010x})"
            yield f"{', '.join(filter(None, names))}: {values}{fields}"

    def _section(self, title: str, lines: list[str]) -> None:
        if lines:
            out.say(title, style="bold")
            self._print(lines)

    def _print(self, lines: Iterable[str], indent: str = _INDENT) -> None:
        every = list(lines)
        for line in every[: self._lines]:
            text = f"{indent}{line}"
            for one in folded_text(text, out.width) if out.is_terminal else (text,):
                out.say(one)
        if more := len(every[self._lines :]):
            out.say(f"{indent}and {more} more: `--lines`, `--json`")

    def _end(self) -> None:
        told = self._told
        without = [
            finding.rule
            for finding in self._verdict.alarming
            if not any(finding in found for found in self._findings.values())
        ]
        if without:
            out.say(f"findings of which no register tells: {', '.join(without)}")
        for line in _not_compared(told):
            out.say(f"not compared: {line}")
        counts = [
            counted(len(told.registers), "register differs", "registers differ"),
            counted(len(told.rows), "value of other entities", "values of other entities"),
            counted(len(told.missing), "entity is missing", "entities are missing"),
        ]
        out.say(", ".join(counts))
        if not told.differs:
            out.say("nothing differs in meaning from a healthy card")


def _not_compared(told: Told) -> Iterator[str]:
    """Yields a line for each reason why something was not compared."""
    for why in dict.fromkeys([*told.words_left_out, *told.entities_left_out]):
        parts = []
        if count := told.words_left_out[why]:
            parts.append(counted(count, "differing value"))
        if names := told.entities_left_out.get(why, []):
            more = f" and {len(names) - _ENTITIES_NAMED} more" * (len(names) > _ENTITIES_NAMED)
            parts.append(", ".join(names[:_ENTITIES_NAMED]) + more)
        yield f"{why}: {'; '.join(parts)}"


def _record(
    path: Path, note: vmcore.Note, twins: Twins, verdict: Verdict, told: Told
) -> dict[str, Any]:
    spoken_of = _spoken_of(verdict)
    left_out = dict.fromkeys([*told.words_left_out, *told.entities_left_out])
    return {
        "a": str(path),
        "healthy": {"card": twins.title, "cards": twins.count},
        "card": {"dump": note.index, "note": note.name, **verdict.card.json()},
        "missing": [_missing(one) for one in told.missing],
        "registers": [
            {
                "entity": one.word.entity,
                "register": one.word.name,
                "space": one.word.space,
                "instance": one.word.instance,
                "element": one.word.element,
                "offset": one.word.offset,
                "value": one.word.value,
                "healthy": one.healthy,
                "fields": [
                    {"field": name, "value": value, "healthy": healthy}
                    for name, (value, healthy) in one.fields.items()
                ],
                "findings": [finding.rule for finding in spoken_of.get(_place(one), [])],
                "alarming": one.alarming,
                "modelled": one.modelled,
            }
            for one in told.registers
        ],
        "values": [
            {
                "entity": one.entity,
                "location": one.location,
                "name": one.name,
                "value": one.value,
                "healthy": one.healthy,
            }
            for one in told.rows
        ],
        "not_compared": [
            {
                "why": str(why),
                "values": told.words_left_out[why],
                "entities": told.entities_left_out.get(why, []),
            }
            for why in left_out
        ],
        "damaged": told.damaged,
    }


def _missing(one: DumpEntity) -> dict[str, Any]:
    record = one.json() | {"reason": one.reason}
    return {
        key: record[key]
        for key in ("number", "name", "condition", "code", "sys_err", "sys_warn", "reason")
    }
