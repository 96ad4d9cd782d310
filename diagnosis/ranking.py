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
    left = [replace(one, explained_by=_explained_by(one, findings, causes)) for one in findings]
    urgency = _urgency(left)
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


def _explained_by(
    one: Finding, findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Returns the rules of the findings that may be causes of this one."""
    alarming = (other for other in findings if other.severity.alarming)
    near = {other.rule for other in alarming if not _are_apart(one, other)}
    return tuple(name for name in causes.get(one.rule, ()) if name in near)


def _are_apart(one: Finding, other: Finding) -> bool:
    """Whether both are about instances of the same kind, such as ports, and have none in common."""
    ours, theirs = _instances(one), _instances(other)
    shared = {name.rstrip("0123456789") for name in ours} & {
        name.rstrip("0123456789") for name in theirs
    }
    return bool(shared) and not ours & theirs


def _instances(finding: Finding) -> set[str]:
    """Returns the instances of registers that a finding is about: `EDC0`, `port 1`."""
    return {one.instance for one in finding.evidence if one.instance and one.register}


def _urgency(findings: Sequence[Finding]) -> dict[str, int]:
    """Returns the severity's rank of each rule: its own, or that of the worst it explains."""
    causes: dict[str, set[str]] = {}
    for finding in findings:
        causes.setdefault(finding.rule, set()).update(finding.explained_by)
    worst: dict[str, int] = {}
    for finding in sorted(findings, key=lambda finding: finding.severity.rank):
        pending = [finding.rule]
        while pending:
            name = pending.pop()
            if name not in worst:
                worst[name] = finding.severity.rank
                pending += causes.get(name, ())
    return worst
