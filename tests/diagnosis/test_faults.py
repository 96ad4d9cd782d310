"""Every fault of the emulator is named by the verdict, or changes no byte."""

from __future__ import annotations

import os

import pytest
from diagnosis_page import PAGE, page
from labelled import INVISIBLE, STORIES, UNKNOWABLE, fitting, healthy, labelled, pairs, singles
from verdicts import NAMED, NAMED_ON_T5, found, named, named_all, verdict, walked

from vmcoredd.chip import Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.diagnosis import Severity, all_rules, diagnose

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
PAIRS = pairs() if THOROUGH else STORIES


def test_the_page_of_rules_and_faults_is_generated() -> None:
    assert PAGE.read_text() == page(PAGE.read_text())


def test_every_fault_has_a_rule_that_names_it() -> None:
    assert {fault for (fault,) in singles()} <= set(NAMED)
    assert {*NAMED.values(), *NAMED_ON_T5.values()} - {""} <= set(all_rules())


@pytest.mark.parametrize("fault", [fault for (fault,) in singles() if named(fault)])
def test_a_fault_is_named_before_all_that_is_not_worse(fault: str) -> None:
    place = found(fault).index(named(fault))
    findings = verdict(fault).findings
    severity = findings[place].severity
    before = [f.severity.rank for f in findings[:place]]
    assert severity is Severity.NOTE or all(rank < severity.rank for rank in before)


@pytest.mark.parametrize("fault", INVISIBLE)
def test_a_fault_without_a_finding_changes_no_byte(fault: str) -> None:
    card = fitting(fault)[0]
    assert found(fault) == [finding.rule for finding in diagnose(healthy(card).dump).findings]


@pytest.mark.parametrize("fault", UNKNOWABLE)
def test_a_fault_that_no_rule_can_know_changes_a_word_and_no_finding(fault: str) -> None:
    made, sound = labelled(fault), healthy(fitting(fault)[0])
    differing = [
        name
        for name in ("REG_DUMP", "EDC0")
        if bytes(made.dump.raw(name)) != bytes(sound.dump.raw(name))
    ]
    assert len(differing) == 1
    assert found(fault) == [finding.rule for finding in diagnose(sound.dump).findings]


@pytest.mark.parametrize("faults", PAIRS)
def test_both_faults_of_a_pair_are_named(faults: tuple[str, str]) -> None:
    assert named_all(*faults) <= set(found(*faults))


@pytest.mark.parametrize("faults", PAIRS)
def test_a_cause_comes_before_its_consequences(faults: tuple[str, str]) -> None:
    findings = verdict(*faults).findings
    order = [finding.rule for finding in findings]
    for finding in findings:
        for cause in finding.explained_by:
            assert order.index(cause) < order.index(finding.rule)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_random_walk_over_cause_registers_fires_rules_and_never_fails(chip: Chip) -> None:
    """Here, because the page needs the same walk."""
    assert len(walked(chip)) > len(all_rules()) // 4


CAUSES_FIRST = {
    ("ecc-uncorrectable-edc0", "firmware-crash"): "edc-ecc-uncorrectable",
    ("cim-illegal-access", "firmware-crash"): "cim-illegal-access",
    ("cim-memory-timeout", "firmware-unexpected"): "cim-memory-timeout",
    ("ma-wrap", "firmware-crash"): "ma-address-wrap",
    ("parity-pl", "parity-sge"): "sge-parity-1",
    ("sge-idma0-stuck", "free-list-empty"): "sge-free-list-empty",
    ("sge-idma1-stuck", "pcie-completion-timeout"): "pcie-aer-uncorrectable",
    ("sge-idma0-stuck", "receive-blocked"): "sge-idma-stuck",
    ("tp-out-of-pages", "send-blocked"): "tp-out-of-pages",
    ("doorbell-fifo-full", "doorbell-dropped"): "sge-doorbell-fifo-full",
    ("tp-out-of-pages", "tp-drops"): "tp-out-of-pages",
    ("rx-crc-errors", "link-high-ber-port1"): "link-high-error-rate",
    ("rx-drops", "free-list-empty"): "sge-free-list-empty",
    ("firmware-halted", "mailbox-taken"): "firmware-held-in-reset",
}


@pytest.mark.parametrize("faults", CAUSES_FIRST)
def test_the_first_finding_is_the_cause(faults: tuple[str, str]) -> None:
    assert found(*faults)[0] == CAUSES_FIRST[faults]
