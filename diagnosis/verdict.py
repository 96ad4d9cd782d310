"""The verdict on a dump: the card, what was found, what could not be judged, and the traffic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vmcoredd.cudbg import Dump, DumpFormatError
from vmcoredd.cudbg.errors import unexpected_is_damage
from vmcoredd.diagnosis.card import Card, NotJudged
from vmcoredd.diagnosis.finding import Finding, Severity
from vmcoredd.diagnosis.identity import Identity, identify
from vmcoredd.diagnosis.ranking import ranked
from vmcoredd.diagnosis.rule import Rule, all_rules
from vmcoredd.diagnosis.traffic import Traffic, traffic
from vmcoredd.plural import agreeing

_RULES_NAMED = 4


@dataclass(frozen=True)
class Verdict:
    """What a dump says about its card."""

    card: Identity
    findings: tuple[Finding, ...]
    """Causes before their consequences, and otherwise the worst first."""
    lost: tuple[str, ...]
    """What could not be judged, and why."""
    damage: tuple[str, ...] = ()
    """What is damaged of the entities that were asked for."""
    traffic: tuple[Traffic, ...] = ()
    """What each port has carried; without those whose counters are not in the dump."""

    @property
    def worst(self) -> Severity | None:
        """The worst severity of all findings; None if there are none."""
        return min((f.severity for f in self.findings), key=lambda s: s.rank, default=None)

    @property
    def alarming(self) -> tuple[Finding, ...]:
        """The findings above `note`."""
        return tuple(finding for finding in self.findings if finding.severity.alarming)

    def json(self) -> dict[str, Any]:
        """Returns plain dicts and lists."""
        findings = [finding.json() for finding in self.findings]
        return {"card": self.card.json(), "findings": findings, "lost": list(self.lost)}


def diagnose(dump: Dump) -> Verdict:
    """Judges a dump by all rules.

    Never raises on a damaged one: a rule whose evidence is not there is in `lost`.
    """
    card, lost = Card(dump), _Lost()
    if reason := card.unknown:
        return Verdict(Identity(), (), (f"no rule was applied: {reason}",))
    judged = [rule for rule in all_rules().values() if card.chip in rule.chips]
    found = [finding for rule in judged for finding in _findings(rule, card, lost)]
    identity = _identity(card, lost)
    lines, damage = (*lost.lines(), *_unanswered(card)), tuple(card.damage.values())
    return Verdict(identity, ranked(found), lines, damage, _traffic(card))


def _traffic(card: Card) -> tuple[Traffic, ...]:
    """Returns what ports have carried; what of it the dump lacks, rules on the same registers have
    lost."""
    with suppress(NotJudged):
        return traffic(card)
    return ()


def _identity(card: Card, lost: _Lost) -> Identity:
    """Identifies a card; what of it the dump lacks is lost."""
    card.begin()
    found = identify(card)
    for reason in card.gaps:
        lost.add(reason, "the card's identity", "known in part" if card.had_some else "unknown")
    return found


class _Lost:
    """Why rules could not be applied, or only to a part of what they look at; by reason."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, str], list[str]] = {}

    def add(self, reason: str, rule: str, extent: str = "not judged") -> None:
        """Adds a rule."""
        self._rules.setdefault((reason, extent), []).append(rule)

    def lines(self) -> Iterator[str]:
        """Yields a line for each reason, with the rules."""
        for (reason, extent), names in self._rules.items():
            more = f" and {len(names) - _RULES_NAMED} more" if len(names) > _RULES_NAMED else ""
            yield f"{reason}: {extent}: {', '.join(names[:_RULES_NAMED])}{more}"


def _findings(rule: Rule, card: Card, lost: _Lost) -> Iterator[Finding]:
    """Yields what a rule finds; where it lacks evidence, notes the reason and its name."""
    card.begin()
    try:
        with unexpected_is_damage(rule.name):
            yield from rule.judge(card)
    except (NotJudged, DumpFormatError) as error:
        lost.add(str(error), rule.name)
    else:
        for reason in card.gaps:
            lost.add(reason, rule.name, "judged in part" if card.had_some else "not judged")


def _unanswered(card: Card) -> Iterator[str]:
    if count := len(card.unanswered):
        words = agreeing(count, "register reads", "registers read")
        yield f"{count:,} {words} as ffffffff: not judged"
