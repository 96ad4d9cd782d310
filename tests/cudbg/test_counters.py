"""64-bit values in two words."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from vmcoredd.cudbg.counters import counters, joined


class Word(NamedTuple):
    """A word as a dump has it."""

    name: str
    offset: int
    value: int


def values(*words: tuple[str, int, int]) -> dict[str, int]:
    return {counter.name: counter.value for counter in joined(Word(*word) for word in words)}


@pytest.mark.parametrize(
    "words",
    [
        [("BYTES_L", 0x30400, 5), ("BYTES_H", 0x30404, 1)],
        [("BYTES_HI", 0x10, 1), ("BYTES_LO", 0x11, 5)],
        [("OTHER", 0, 9), ("BYTES_LOW", 4, 5), ("BYTES_HIGH", 8, 1), ("OTHER_H", 12, 9)],
    ],
)
def test_two_neighbours_are_one_number(words: list[tuple[str, int, int]]) -> None:
    assert values(*words) == {"BYTES": 1 << 32 | 5}


@pytest.mark.parametrize(
    "words",
    [
        [("BYTES_L", 0x400, 5), ("BYTES_H", 0x408, 1)],  # not neighbours
        [("BYTES_L", 0x400, 5), ("FRAMES_H", 0x404, 1)],
        [("BYTES_L", 0x400, 5), ("BYTES_HI", 0x404, 1)],
        [("BYTES_L", 0x400, 5), ("BYTES_L", 0x404, 1)],
        [("BYTES_L", 0x400, 5)],
        [("", 0, 5), ("", 4, 1)],
    ],
)
def test_other_words_stay_apart(words: list[tuple[str, int, int]]) -> None:
    assert values(*words) == {}


def test_the_elements_of_an_array_are_pairs_of_their_own() -> None:
    slices = [(f"SLICE_{half}", 4 * i, i) for i, half in enumerate("LHLH")]
    found = list(joined(Word(*word) for word in slices))
    assert [(pair.low.value, pair.high.value) for pair in found] == [(0, 1), (2, 3)]


def test_an_address_in_two_words_is_no_counter() -> None:
    words = [("MAC_ADDR_L", 0, 1), ("MAC_ADDR_H", 4, 1), ("X_STAT_L", 8, 1), ("X_STAT_H", 12, 1)]
    assert [pair.name for pair in joined(Word(*word) for word in words)] == ["MAC_ADDR", "X_STAT"]
    words += [("MPS_STAT_DROP_L", 16, 1), ("MPS_STAT_DROP_H", 20, 1), ("TP_MIB_IN_HI", 24, 1)]
    words += [("TP_MIB_IN_LO", 25, 1)]
    found = counters(Word(*word) for word in words)
    assert [pair.name for pair in found] == ["MPS_STAT_DROP", "TP_MIB_IN"]
