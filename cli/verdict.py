"""Prints a verdict: the card, its firmware's state, and what was found, the worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from vmcoredd.cli.output import out
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import vmcore
    from vmcoredd.diagnosis import Evidence, Finding, Identity, Verdict

_STYLES = {"fatal": "bold red", "error": "red", "warning": "yellow", "note": "dim"}
_INDENT = 9
_WIDTH_MOST = 100
_EVIDENCE_MOST = 4
_NOTHING = "no findings above note"
_IN_THE_REST = " in what could be judged"


def print_verdict(verdict: Verdict, *, brief: bool = False) -> None:
    """Prints a verdict; in brief, what each finding above `note` means, and a line for all else."""
    print_card(verdict.card)
    if verdict.lost and brief:
        out.say("some of the dump could not be judged: `vmcoredd diagnose` says what, and why")
    for line in () if brief else verdict.lost:
        _wrapped(f"lost: {line}", "")
    for finding in verdict.alarming if brief else verdict.findings:
        _print_finding(finding, brief=brief)
    if not verdict.alarming:
        out.say(_NOTHING + _IN_THE_REST * bool(verdict.lost) + _and_notes(verdict) * brief)


def print_activity(verdict: Verdict) -> None:
    """Prints a paragraph on what the card was busy with: queues, and what each port has carried."""
    from vmcoredd.diagnosis import BUSY

    lines = [finding.meaning for finding in verdict.findings if finding.rule in BUSY]
    lines += [
        f"port {one.port}: received {counted(one.received, 'frame')} "
        f"({counted(one.received_bytes, 'byte')}), "
        f"sent {one.sent:,} ({counted(one.sent_bytes, 'byte')})"
        for one in verdict.traffic
    ]
    if lines:
        out.print()
    for line in lines:
        _wrapped(line, "", "  ")


def print_others(notes: Sequence[vmcore.Note], worst: Callable[[vmcore.Note], str]) -> None:
    """Names the other device dumps of a file: the worst finding of each, and how to see it."""
    if notes:
        out.say(f"{counted(len(notes), 'more device dump')}:")
    for note in notes:
        _wrapped(
            f"note {note.index}, {note.name}: {worst(note)}; `--index {note.index}`", "  ", "    "
        )


def worst_in_words(verdict: Verdict) -> str:
    """Returns the severity and the rule of the worst finding above `note`, and how many more."""
    found = sorted(verdict.alarming, key=lambda finding: finding.severity.rank)
    if not found:
        return _NOTHING + _IN_THE_REST * bool(verdict.lost)
    more = f" and {len(found) - 1} more" * (len(found) > 1)
    return f"{found[0].severity}: {found[0].rule}{more}"


def _and_notes(verdict: Verdict) -> str:
    count = len(verdict.findings)
    return f"; `vmcoredd diagnose` shows {counted(count, 'note')}" if count else ""


def print_card(card: Identity) -> None:
    """Prints which card it is, and what its firmware was doing."""
    known = (
        card.name or "a card without a name",
        card.chip,
        card.serial and f"serial {card.serial}",
        card.part and f"part {card.part}",
        card.ports and counted(card.ports, "port"),
    )
    out.say(", ".join(str(part) for part in known if part), style="bold")
    out.say(f"firmware {card.firmware or 'of unknown version'}: {card.state or 'state unknown'}")


def _print_finding(finding: Finding, *, brief: bool) -> None:
    lead = f"{finding.severity:<{_INDENT - 1}} "
    if brief:
        text, style = f"{finding.rule}: {finding.meaning}", _STYLES[finding.severity]
        _wrapped(text, lead, " " * _INDENT, style)
        return
    out.say(f"{lead}{finding.rule}", style=_STYLES[finding.severity])
    _wrapped(finding.meaning)
    lines = list(in_words(finding.evidence))
    for line in lines[:_EVIDENCE_MOST]:
        _print_evidence(line)
    if len(lines) > _EVIDENCE_MOST:
        out.say(" " * _INDENT + f"and {len(lines) - _EVIDENCE_MOST} more; --json has all")
    if finding.explained_by:
        _wrapped(f"perhaps because of {', '.join(finding.explained_by)}")
    _wrapped(f"to do: {finding.to_do}")


def in_words(evidence: Iterable[Evidence]) -> Iterator[str]:
    """Yields a line for each place: where it is, and its value; fields of a word, or of what is no
    register, share a line, and what is said several times."""
    for _, group in groupby(evidence, _place):
        fields = list(group)
        first = fields[0]
        at = "" if first.offset is None else f" at {first.offset:#x}"
        parts = (first.entity, first.instance, f"{first.register}{at}")
        values = [f"{one.field}={_value(one)}" if one.field else _value(one) for one in fields]
        if first.word is not None:
            values = [f"{first.word:#010x}", *(value for value in values if first.field)]
        elif len(values) > 1 and not first.field:
            values = [values[0], f"({counted(len(values), 'time')})"]
        yield f"{', '.join(part for part in parts if part)}: {' '.join(values)}"


def _place(evidence: Evidence) -> Evidence:
    """Returns what fields of one place share; all of what has no field and is no word."""
    if evidence.word is None and not evidence.field:
        return evidence
    return replace(evidence, field="", value=0)


def _value(evidence: Evidence) -> str:
    value = evidence.value
    return f"{value:#x}" if isinstance(value, int) and evidence.register else str(value)


def _print_evidence(text: str) -> None:
    """Prints a line of evidence, folded on a terminal; a pipe has it as one line, to search."""
    if out.is_terminal:
        _wrapped(text, after=" " * (_INDENT + 2))
    else:
        out.say(" " * _INDENT + text)


def _wrapped(text: str, indent: str = " " * _INDENT, after: str = "", style: str = "") -> None:
    """Prints text in lines that break at blanks only: names have hyphens."""
    wrapper = textwrap.TextWrapper(
        min(out.width, _WIDTH_MOST),
        initial_indent=indent,
        subsequent_indent=after or indent or " ",
        break_on_hyphens=False,
    )
    for line in wrapper.wrap(text):
        out.say(line, style)
