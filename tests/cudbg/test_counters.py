"""64-bit values in two words."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from vmcoredd.cudbg.counters import joined


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
