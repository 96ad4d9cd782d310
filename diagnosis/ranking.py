"""The order of findings: causes before their consequences, and otherwise the worst first.

A finding tells what it explains. A cause is as urgent as the worst of what it explains, so that a
warning that explains a fatal finding comes before other errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vmcoredd.diagnosis.finding import Finding


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns the findings in order, each with the rules of the findings that explain it."""
    causes = [_causes(finding, findings) for finding in findings]
    urgency = _urgency(findings, causes)
    left = sorted(range(len(findings)), key=lambda i: (urgency[i], findings[i].severity.rank))
    order: list[int] = []
    while left:
        pending = set(left)
        free = (i for i in left if pending.isdisjoint(causes[i]))
        first = next(free, left[0])  # findings that explain each other: any order
        order.append(first)
        left.remove(first)
    return tuple(_explained(i, findings, causes[i]) for i in order)


def _causes(finding: Finding, findings: Sequence[Finding]) -> list[int]:
    """Returns the places of the findings above `note` that explain this one."""
    return [
        i
        for i, other in enumerate(findings)
        if other.severity.alarming and other.is_cause_of(finding) and not _are_apart(finding, other)
    ]


def _are_apart(one: Finding, other: Finding) -> bool:
    """Returns whether both are about instances of the same kind, such as ports, and have none in
    common."""
    ours, theirs = _instances(one), _instances(other)
    shared = {name.rstrip("0123456789") for name in ours} & {
        name.rstrip("0123456789") for name in theirs
    }
    return bool(shared) and not ours & theirs


def _instances(finding: Finding) -> set[str]:
    """Returns the instances of registers that a finding is about: `EDC0`, `port 1`."""
    return {one.instance for one in finding.evidence if one.instance and one.register}


def _explained(place: int, findings: Sequence[Finding], causes: Sequence[int]) -> Finding:
    rules = dict.fromkeys(findings[cause].rule for cause in causes)
    return replace(findings[place], explained_by=tuple(rules))


def _urgency(findings: Sequence[Finding], causes: Sequence[Sequence[int]]) -> dict[int, int]:
    """Returns the severity's rank of each finding: its own, or that of the worst it explains."""
    worst: dict[int, int] = {}
    for place in sorted(range(len(findings)), key=lambda i: findings[i].severity.rank):
        pending = [place]
        while pending:
            one = pending.pop()
            if one not in worst:
                worst[one] = findings[place].severity.rank
                pending += causes[one]
    return worst
