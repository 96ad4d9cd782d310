"""The verdict on a dump: the card, what was found, and what could not be judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmcoredd.cudbg import Dump, DumpFormatError
from vmcoredd.cudbg.errors import unexpected_is_damage
from vmcoredd.diagnosis.card import Card, NotJudged
from vmcoredd.diagnosis.finding import Finding, Severity
from vmcoredd.diagnosis.identity import Identity, identify
from vmcoredd.diagnosis.ranking import ranked
from vmcoredd.diagnosis.rule import Rule, all_rules
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
    card = Card(dump)
    if reason := card.unknown:
        return Verdict(Identity(), (), (f"no rule was applied: {reason}",))
    judged = [rule for rule in all_rules().values() if card.chip in rule.chips]
    not_judged: dict[str, list[str]] = {}
    found = [finding for rule in judged for finding in _findings(rule, card, not_judged)]
    card_lost = dict.fromkeys(_not_known(reason, names) for reason, names in not_judged.items())
    if count := len(card.unanswered):
        words = agreeing(count, "register reads", "registers read")
        card_lost[f"{count:,} {words} as ffffffff: not judged"] = None
    damage = tuple(card.damage.values())
    return Verdict(identify(card), ranked(found, all_rules()), tuple(card_lost), damage)


def _findings(rule: Rule, card: Card, not_judged: dict[str, list[str]]) -> Iterator[Finding]:
    """Yields what a rule finds; where it lacks evidence, notes the reason and its name."""
    try:
        with unexpected_is_damage(rule.name):
            yield from rule.judge(card)
    except (NotJudged, DumpFormatError) as error:
        not_judged.setdefault(str(error), []).append(rule.name)


def _not_known(reason: str, names: list[str]) -> str:
    """Returns a line: the reason, and the rules that it kept from being applied."""
    more = f" and {len(names) - _RULES_NAMED} more" if len(names) > _RULES_NAMED else ""
    return f"{reason}: not judged: {', '.join(names[:_RULES_NAMED])}{more}"
