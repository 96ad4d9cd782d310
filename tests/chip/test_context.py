"""Queue contexts: fields that do not overlap, and units."""

from __future__ import annotations

import pytest

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.sge import CONTEXT_WORDS, VALID_BIT, ContextType, encode_context

ALL = [(chip, kind, False) for chip in (T5, T6) for kind in ContextType]
ALL += [(chip, ContextType.EGRESS, True) for chip in (T5, T6)]


@pytest.mark.parametrize(("chip", "kind", "free_list"), ALL, ids=str)
def test_fields_fit_a_context_and_do_not_overlap(
    chip: Chip, kind: ContextType, free_list: bool
) -> None:
    top = 32 * CONTEXT_WORDS
    for field in chip.sge.context_fields(kind, free_list=free_list):
        assert field.shift + field.width <= top
        top = field.shift


@pytest.mark.parametrize("chip", [T5, T6], ids=repr)
@pytest.mark.parametrize("kind", VALID_BIT)
def test_the_valid_bit_is_the_one_that_the_driver_looks_at(chip: Chip, kind: ContextType) -> None:
    name = "Queue_Valid" if kind == ContextType.INGRESS else "Valid"
    words = encode_context(chip.sge.context_fields(kind), **{name: 1})
    assert sum(word << 32 * i for i, word in enumerate(words)) == 1 << VALID_BIT[kind]


def test_units_scale_values() -> None:
    ingress = T6.sge.context_units(ContextType.INGRESS)
    assert ingress["QueueEntrySize"].scaled(2) == 64
    assert ingress["QueueSize"].scaled(64) == 1024
    assert ingress["BaseAddress"].scaled(0x800000) == 1 << 32


def test_a_field_that_a_context_has_not_is_refused() -> None:
    with pytest.raises(KeyError, match="SP_NS"):
        encode_context(T5.sge.context_fields(ContextType.INGRESS), SP_NS=1)


def test_a_value_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="EQid: 0x20000 does not fit 17 bits"):
        encode_context(T5.sge.context_fields(ContextType.FLM), EQid=1 << 17)
