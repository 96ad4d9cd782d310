"""Words of registers with the names and fields that the chip's description has for them."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.decoded import Column, Value

COLUMNS = (Column("register"), Column("value", "x8"), Column("fields"))
"""Of what `named` gives."""


def named(chip: Chip, offset: int, word: int, space: str = BAR0) -> list[Value]:
    """The name of the register at `offset` of a space, the word, and its fields."""
    place = chip.r.at(offset, space)
    if place is None:
        return ["", word, {}]
    return [str(place), word, place.register.decode(word)]
