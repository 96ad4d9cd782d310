"""Prints a verdict: the card, its firmware's state, and what was found, the worst first."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from vmcoredd.cli.output import out

if TYPE_CHECKING:
    from vmcoredd.diagnosis import Evidence, Finding, Identity, Verdict

_STYLES = {"fatal": "bold red", "error": "red", "warning": "yellow", "note": "dim"}
_INDENT = 9
_WIDTH_MOST = 100
_EVIDENCE_MOST = 4
_NOTHING = "no findings above note"


def print_verdict(verdict: Verdict, *, brief: bool = False) -> None:
    """Prints a verdict; in brief, one line per finding above `note`, and one for all else."""
    _print_card(verdict.card)
    for finding in verdict.alarming if brief else verdict.findings:
        _print_finding(finding, brief=brief)
    if not verdict.alarming:
        out.say(_NOTHING + _and_notes(verdict) * brief)
    for line in verdict.lost[:1] if brief else verdict.lost:
        _wrapped(f"not judged: {line}".replace(": not judged:", ":"), "")
    if brief and len(verdict.lost) > 1:
        out.say(f"not judged: {len(verdict.lost) - 1} more reasons: `vmcoredd diagnose` has them")


def _and_notes(verdict: Verdict) -> str:
    count = len(verdict.findings)
    return f"; `vmcoredd diagnose` shows {count} note{'s' * (count != 1)}" if count else ""


def _print_card(card: Identity) -> None:
    known = (
        card.name or "a card without a name",
        card.chip,
        card.serial and f"serial {card.serial}",
        card.part and f"part {card.part}",
        card.ports and f"{card.ports} port{'s' * (card.ports != 1)}",
    )
    out.say(", ".join(str(part) for part in known if part), style="bold")
    out.say(f"firmware {card.firmware or 'of unknown version'}: {card.state or 'state unknown'}")


def _print_finding(finding: Finding, *, brief: bool) -> None:
    lead = f"{finding.severity:<{_INDENT - 1}} "
    first = finding.evidence[0]
    if brief:
        line = f"{lead}{finding.rule}{f' {first.instance}' * bool(first.instance)}"
        out.say(f"{line}: {finding.meaning}", style=_STYLES[finding.severity])
        return
    out.say(f"{lead}{finding.rule}", style=_STYLES[finding.severity])
    _wrapped(finding.meaning)
    for evidence in finding.evidence[:_EVIDENCE_MOST]:
        out.say(" " * _INDENT + in_words(evidence))
    if len(finding.evidence) > _EVIDENCE_MOST:
        out.say(" " * _INDENT + f"and {len(finding.evidence) - _EVIDENCE_MOST} more fields")
    if finding.explained_by:
        _wrapped(f"probably because of {', '.join(finding.explained_by)}")
    _wrapped(f"to do: {finding.to_do}")


def in_words(evidence: Evidence) -> str:
    """Returns one line: where a value stands, and the value."""
    value = evidence.value
    shown = f"{value:#010x}" if isinstance(value, int) and evidence.register else value
    place = f"{evidence.register} at {evidence.offset:#x}" if evidence.offset is not None else ""
    parts = (evidence.entity, place or evidence.register, evidence.instance, evidence.field)
    return f"{', '.join(part for part in parts if part)}: {shown}"


def _wrapped(text: str, indent: str = " " * _INDENT) -> None:
    width = min(out.width, _WIDTH_MOST)
    for line in textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent or " "):
        out.say(line)
