"""Which registers differ between healthy cards."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from chip_facts import CHIPS

from vmcoredd.chip import T6
from vmcoredd.chip.momentary import PATTERNS, Kind, kind_of, momentary

NAMES = sorted({register.name for chip in CHIPS for register in chip.r})


@pytest.mark.parametrize("pattern", [one for patterns in PATTERNS.values() for one in patterns])
def test_every_pattern_names_registers(pattern: str) -> None:
    assert any(fnmatchcase(name, pattern) for name in NAMES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SGE_TIMESTAMP_LO", Kind.COUNTER),
        ("MPS_PORT_STAT_TX_PORT_BYTES_L", Kind.COUNTER),
        ("LE_DB_ACT_CNT_IPV4", Kind.COUNTER),
        ("ULP_TX_LA_WRPTR_0", Kind.COUNTER),
        ("UP_IBQ_0_RDADDR", Kind.ADDRESS),
        ("SGE_DEBUG_DATA_LOW", Kind.CAPTURE),
        ("EDC_H_ECC_ERR_ADDR", Kind.CAPTURE),
        ("TP_PIO_DATA", Kind.CAPTURE),
        ("TP_RSS_SECRET_KEY0", Kind.IDENTITY),
    ],
)
def test_counters_addresses_captures_and_identities_are_known(name: str, kind: Kind) -> None:
    assert kind_of(T6.r[name]) is kind


@pytest.mark.parametrize(
    "name",
    ["PCIE_FW", "SGE_CONTROL", "EDC_H_ECC_STATUS", "PL_WHOAMI", "MPS_STAT_CTL"],
)
def test_what_is_set_or_tells_of_an_error_is_compared(name: str) -> None:
    assert kind_of(T6.r[name]) is None


@pytest.mark.parametrize("end", ["_INT_CAUSE", "_INT_ENABLE", "_INTR_CAUSE", "_PERR_CAUSE"])
def test_no_interrupt_register_is_left_out(end: str) -> None:
    assert [name for name in momentary() if name.endswith(end)] == []
