"""Cause registers: no bit is silent, a masked bit is a note, and nothing raises."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

import pytest
from doctored import doctored

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.register import Register
from vmcoredd.diagnosis import Finding, Severity, all_rules, diagnose

SGE_CAUSE3, SGE_ENABLE3 = 0x103C, 0x1040
SUMMARIES = ("CIM_PF_HOST", "PL_PF", "MPS_INT_CAUSE", "MPS_STAT_INT", "MYPF", "CIM_DEBUG")
"""Registers whose bits only say that another register is not 0, or that a message came."""


def causes(chip: Chip) -> list[Register]:
    """The chip's cause registers that a dump has."""
    read = {o for start, n in chip.ranges("reg_dump") for o in range(start, start + 4 * n, 4)}
    named = (r for r in chip.r if r.space == "bar0" and "CAUSE" in r.name and int(r) in read)
    return [register for register in named if not register.name.startswith(SUMMARIES)]


@pytest.mark.parametrize("chip", CHIPS)
def test_no_bit_of_a_cause_register_is_silent(chip: Chip) -> None:
    registers = causes(chip)
    silent = []
    for bit in range(8):
        raised = 0x01010101 << bit
        findings = diagnose(doctored(dict.fromkeys(map(int, registers), raised), chip)).findings
        shown = {(e.offset, e.field) for finding in findings for e in finding.evidence}
        due = {(int(r), name) for r in registers for name in r.names_of(raised)}
        silent += sorted(due - shown)
    assert silent == []


def test_a_cause_that_is_not_enabled_is_a_note() -> None:
    (finding,) = (
        f
        for f in diagnose(doctored({SGE_CAUSE3: 1 << 22, SGE_ENABLE3: 1 << 12})).findings
        if f.rule == "sge-message-too-big"
    )
    assert finding.severity is Severity.NOTE
    assert finding.meaning.startswith("raised, but not enabled: ")


def test_a_cause_counts_where_enables_were_never_set_up() -> None:
    verdict = diagnose(doctored({SGE_CAUSE3: 1 << 22}))
    assert verdict.alarming[0].rule == "sge-message-too-big"


def test_a_t6_bubble_is_normal_and_a_t5_one_is_fatal() -> None:
    bubble = {0x9408: 1 << 13}
    assert diagnose(doctored(bubble, T6)).alarming == ()
    assert diagnose(doctored(bubble, T5)).worst is Severity.FATAL


def test_rules_explain_each_other_in_no_circle() -> None:
    known = list(all_rules().values())
    known = [rule for rule in known if rule.explains != ("*",)]  # exclude each other
    found = [Finding(r.severity, r.name, "", "", "", (), explains=r.explains) for r in known]
    graph = {a.rule: {b.rule for b in found if b.is_cause_of(a)} for a in found}
    TopologicalSorter(graph).prepare()


def test_a_rule_says_what_it_means_what_to_do_and_where_it_is_known_from() -> None:
    for name, rule in all_rules().items():
        assert all((rule.meaning, rule.to_do, rule.source)), name
        assert not (rule.meaning + rule.to_do).endswith("."), name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name), name
