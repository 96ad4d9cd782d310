"""Which registers change by themselves."""

from __future__ import annotations

from fnmatch import filter as matching

import pytest
from chip_facts import CHIPS

from vmcoredd.chip import T6, volatile


@pytest.mark.parametrize("pattern", volatile._CLOCKS + volatile._COUNTERS)
def test_every_pattern_names_registers(pattern: str) -> None:
    assert matching([register.name for chip in CHIPS for register in chip.r], pattern)


@pytest.mark.parametrize(
    "name", ["SGE_TIMESTAMP_LO", "MPS_PORT_STAT_TX_PORT_BYTES_L", "TP_MIB_DATA", "SGE_STAT_TOTAL"]
)
def test_clocks_and_counters_are_volatile(name: str) -> None:
    assert volatile.is_volatile(T6.r[name])


@pytest.mark.parametrize("name", ["PL_WHOAMI", "SGE_CONTROL", "MPS_STAT_CTL", "TP_MIB_INDEX"])
def test_what_a_driver_sets_is_not_volatile(name: str) -> None:
    assert not volatile.is_volatile(T6.r[name])


@pytest.mark.parametrize("name", volatile._POLLED + volatile._FIRMWARES)
def test_every_polled_word_is_a_register_of_both_chips(name: str) -> None:
    assert all(volatile.is_polled(chip.r[name]) for chip in CHIPS)


def test_mailboxes_are_polled_and_data_are_not() -> None:
    assert volatile.is_polled(T6.r.CIM_PF_MAILBOX_CTRL)
    assert not volatile.is_polled(T6.r.CIM_PF_MAILBOX_DATA)
