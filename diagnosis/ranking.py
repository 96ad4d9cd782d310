"""The order of findings: causes before their consequences, and otherwise the worst first.

A rule declares what it explains. A cause is as urgent as the worst of what it explains, so that a
warning that explains a fatal finding comes before other errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vmcoredd.diagnosis.finding import Finding
from vmcoredd.diagnosis.rule import Rule


def ranked(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> tuple[Finding, ...]:
    """Returns the findings in order, each with the rules of the findings that explain it."""
    causes = _causes({finding.rule for finding in findings if finding.severity.alarming}, rules)
    urgency = _urgency(findings, causes)
    left = [replace(f, explained_by=tuple(causes.get(f.rule, ()))) for f in findings]
    left.sort(key=lambda finding: (urgency[finding.rule], finding.severity.rank))
    order: list[Finding] = []
    while left:
        waiting = {finding.rule for finding in left}
        free = (f for f in left if not waiting.intersection(f.explained_by))
        first = next(free, left[0])  # rules that explain each other: any order
        order.append(first)
        left.remove(first)
    return tuple(order)


def _causes(present: set[str], rules: Mapping[str, Rule]) -> dict[str, list[str]]:
    """Returns the causes of each rule among those present."""
    return {
        name: [other for other in rules if other in present and rules[other].is_cause_of(name)]
        for name in present
    }


def _urgency(findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Returns the severity's rank of each rule: its own, or that of the worst it explains."""
    worst: dict[str, int] = {}
    for finding in sorted(findings, key=lambda finding: finding.severity.rank):
        pending = [finding.rule]
        while pending:
            name = pending.pop()
            if name not in worst:
                worst[name] = finding.severity.rank
                pending += causes.get(name, ())
    return worst
