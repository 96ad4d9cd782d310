"""The page of what drivers do with each fault has all rows, and ours are what our driver does."""

from __future__ import annotations

import pytest

from . import ours, page, rows
from .cases import CARDS, CHOSEN, IN_GUEST, Case

MEASURE = "`make faults` measures what is not measured yet"
POLLS = "cim-ibq-busy"
"""Its dump takes millions of polls: seconds, which the tests with the kernel's driver spend."""


def test_the_page_is_what_the_rows_give() -> None:
    text = page.PAGE.read_text()
    assert text == page.written(text, rows.read()), MEASURE


def test_linuxs_driver_has_met_every_fault_in_each_phase() -> None:
    """On the chip's card; those that only report something, on the card where they are tried."""
    known = rows.read()
    assert [case for case in page.planned(known) if case not in known] == [], MEASURE


@pytest.mark.parametrize("chip", CARDS)
def test_the_rows_that_make_test_measures_once_more_are_there(chip: str) -> None:
    known = rows.read()
    assert [case for case in CHOSEN if Case(chip, *case) not in known] == []
    assert {phase for _, phase in CHOSEN} == set(IN_GUEST)


@pytest.mark.parametrize("chip", CARDS)
def test_our_driver_does_what_its_rows_say(chip: str) -> None:
    known = ours.met(chip, rows.read())
    known.pop(POLLS)
    assert dict(ours.measured(chip, without=(POLLS,))) == known, MEASURE


def test_a_dump_that_lost_something_is_told_and_read_back() -> None:
    lost = {"CIM_LA": "EBUSY", "VPD_DATA": "NO_MEM", "CIM_QCFG": "EBUSY"}
    assert ours.told(lost) == "EBUSY: CIM_LA CIM_QCFG; NO_MEM: VPD_DATA"
    assert ours.parsed(ours.told(lost)) == lost
    assert (ours.told({}), ours.parsed("complete")) == ("complete", {})
    assert ours.parsed("no probe: t4_get_flash_params: EBUSY") == {}
