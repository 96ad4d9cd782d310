"""A verdict: what is found, what is lost, and in which order."""

from __future__ import annotations

import pytest
from carddump import collected
from doctored import doctored

from vmcoredd import cudbg, diagnosis
from vmcoredd.chip import Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.diagnosis import Severity

EDC0_CAUSE, PCIE_FW = 0x50078, 0x30B8


@pytest.mark.parametrize("chip", CHIPS)
def test_a_healthy_card_has_no_finding_above_note(chip: Chip) -> None:
    verdict = diagnosis.diagnose(collected(chip).dump)
    assert verdict.alarming == ()
    assert verdict.lost == ()
    assert verdict.worst in (None, Severity.NOTE)


@pytest.mark.parametrize("chip", CHIPS)
def test_the_card_is_identified(chip: Chip) -> None:
    card = diagnosis.diagnose(collected(chip).dump).card
    assert card.serial == collected(chip).fields("VPD_DATA")["serial number"]
    assert card.state == "running"


def test_an_ecc_error_comes_before_the_crash_that_it_explains() -> None:
    dump = doctored({EDC0_CAUSE: 4, PCIE_FW: 0x80000000})
    first, second = diagnosis.diagnose(dump).alarming
    assert (first.rule, first.evidence[0].instance) == ("edc-ecc-uncorrectable", "EDC0")
    assert second.rule == "firmware-crash"
    assert second.explained_by == ("edc-ecc-uncorrectable",)


def test_a_card_off_the_bus_is_one_finding_and_the_rest_is_lost() -> None:
    verdict = diagnosis.diagnose(doctored({}, fill=0xFF))
    assert [finding.rule for finding in verdict.alarming] == ["card-off-the-bus"]
    assert verdict.worst == Severity.FATAL
    assert any("reads as ffffffff" in line for line in verdict.lost)


def test_a_dump_without_registers_says_what_was_not_judged() -> None:
    verdict = diagnosis.diagnose(cudbg.Dump(_without_registers()))
    assert any(line.startswith("REG_DUMP") for line in verdict.lost)


def _without_registers() -> bytes:
    from carddump import collect, small

    from vmcoredd.chip import T6

    return bytes(collect(small(T6), entities=("VPD_DATA",)).data)
