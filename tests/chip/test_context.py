"""Queue contexts: fields that do not overlap, and units."""

from __future__ import annotations

import pytest

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.context import VALID_BIT, WORDS, ContextType, encode, fields, units

ALL = [(chip, kind, False) for chip in (T5, T6) for kind in ContextType]
ALL += [(chip, ContextType.EGRESS, True) for chip in (T5, T6)]


@pytest.mark.parametrize(("chip", "kind", "free_list"), ALL, ids=str)
def test_fields_fit_a_context_and_do_not_overlap(
    chip: Chip, kind: ContextType, free_list: bool
) -> None:
    top = 32 * WORDS
    for field in fields(chip, kind, free_list=free_list):
        assert field.shift + field.width <= top
        top = field.shift


@pytest.mark.parametrize("chip", [T5, T6], ids=repr)
@pytest.mark.parametrize("kind", VALID_BIT)
def test_the_valid_bit_is_the_one_that_the_driver_looks_at(chip: Chip, kind: ContextType) -> None:
    name = "Queue_Valid" if kind == ContextType.INGRESS else "Valid"
    words = encode(fields(chip, kind), **{name: 1})
    assert sum(word << 32 * i for i, word in enumerate(words)) == 1 << VALID_BIT[kind]


def test_units_scale_values() -> None:
    ingress = units(T6, ContextType.INGRESS)
    assert ingress["QueueEntrySize"].scaled(2) == 64
    assert ingress["QueueSize"].scaled(64) == 1024
    assert ingress["BaseAddress"].scaled(0x800000) == 1 << 32


def test_a_field_that_a_context_has_not_is_refused() -> None:
    with pytest.raises(KeyError, match="SP_NS"):
        encode(fields(T5, ContextType.INGRESS), SP_NS=1)


def test_a_value_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="EQid: 0x20000 does not fit 17 bits"):
        encode(fields(T5, ContextType.FLM), EQid=1 << 17)
