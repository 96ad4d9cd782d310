"""Words and fields: put together, taken apart, refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.chip import T5, T6, UnknownRegister
from vmcoredd.chip.register import parse_fields

CTRL = T6.r.CIM_PF_MAILBOX_CTRL


def test_a_register_is_its_offset() -> None:
    assert T6.r.PL_WHOAMI == 0x19400


def test_the_same_field_stands_where_each_chip_has_it() -> None:
    assert T5.r.PL_WHOAMI.of(SourcePF=4) == 0x400
    assert T6.r.PL_WHOAMI.of(SourcePF=4) == 0x800


def test_a_field_is_found_in_whatever_case() -> None:
    assert CTRL.of(MBOWNER=2, mbmsgvalid=1) == 0xA
    assert CTRL.get(0xA, "MBOwner") == 2
    assert CTRL.mask("MBOWNER", "MBMSGVALID") == 0xB


def test_a_field_that_chelsio_calls_otherwise_is_found_by_linux_name() -> None:
    assert T6.r.CIM_QUEUE_CONFIG_CTRL.get(8 << 24, "CIMQSIZE") == 8
    assert T5.r.SF_OP.mask("SF_BUSY") == 1 << 31


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="MBOwner: 0x4 does not fit 2 bits"):
        CTRL.of(MBOwner=4)
    with pytest.raises(ValueError, match="does not fit"):
        CTRL.of(MBOwner=-1)


def test_a_misspelt_field_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownRegister, match="has no MBOWNR; did you mean MBOwner"):
        CTRL.get(0, "MBOWNR")


def test_an_array_refuses_an_element_it_has_not() -> None:
    window = T6.r.PCIE_MEM_ACCESS_BASE_WIN
    assert window[7] == 0x3068 + 7 * 8
    with pytest.raises(IndexError, match="it has 8 elements"):
        window[8]
    with pytest.raises(IndexError):
        window[-1]


@given(st.integers(0, 0xFFFFFFFF))
def test_decoding_loses_no_bit_that_has_a_field(word) -> None:
    register = T6.r.LE_DB_CONFIG
    known = register.mask(*(field.name for field in register.fields))
    assert register.of(**register.decode(word)) == word & known


def test_fields_are_parsed_from_the_last_colons() -> None:
    (field,) = parse_fields("a:b:4:2")
    assert (field.name, field.shift, field.width) == ("a:b", 4, 2)
