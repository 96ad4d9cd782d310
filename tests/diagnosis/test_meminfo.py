"""Counts of pages that cannot be."""

from __future__ import annotations

import pytest
from doctored import doctored

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.diagnosis import diagnose

FREE_PS, MOST_PS = 0x7E80, 0x7E6C


def impossible(words: dict[int, int], chip: Chip) -> list[str]:
    findings = diagnose(doctored(words, chip)).alarming
    return [one.meaning for one in findings if one.rule.startswith("dump-impossible")]


@pytest.mark.parametrize(
    ("chip", "offset", "of"),
    [
        (T5, 0x11014, "channel 1"),
        (T5, 0x1102C, "loopback 3"),
        (T6, 0x11214, "MAC buffer group 3"),
        (T6, 0x1121C, "loopback 1"),
    ],
)
def test_more_buffer_pages_used_than_allocated_are_impossible(
    chip: Chip, offset: int, of: str
) -> None:
    (meaning,) = impossible({offset: 101 << 16 | 100}, chip)
    assert meaning.startswith(f"MPS uses more buffer pages of {of} than were allocated to it")
    assert impossible({offset: 100 << 16 | 100}, chip) == []


@pytest.mark.parametrize("chip", CHIPS)
def test_more_free_structures_than_there_are_are_impossible(chip: Chip) -> None:
    (meaning,) = impossible({FREE_PS: 1001, MOST_PS: 1000}, chip)
    assert meaning.startswith("TP has more free payload structures than it has")
    assert impossible({FREE_PS: 1000, MOST_PS: 1000}, chip) == []
