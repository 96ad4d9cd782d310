"""Names for what a card's words are, and the kinds the register tables give them."""

from __future__ import annotations

from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.emu.space import ACCESS, Kind, Space


@cache
def described(chip: Chip, count: int) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """What the tables know of BAR0's words: their kinds, and (index, value) after a reset.

    A register with a value after reset is taken for plain storage, if its access is not special.
    """
    kinds = bytearray(count)
    resets = []
    for register in chip.r:
        if register.space != "bar0":
            continue
        kind = ACCESS.get(register.access, Kind.UNMODELLED)
        if register.reset_source:
            resets.append((int(register) // 4, register.reset))
            kind = Kind.PLAIN if register.access == "rw" else kind
        for element in range(register.count):
            kinds[(int(register) + element * register.stride) // 4] = kind
    for start, words in chip.ranges("reg_dump"):
        for index in range(start // 4, start // 4 + words):
            if kinds[index] <= Kind.UNMODELLED:
                kinds[index] = Kind.DUMPED
    return bytes(kinds), tuple(resets)


class Names:
    """Decoded names of words, for messages."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def of(self, space: Space, index: int) -> str:
        """What the word is called, with its offset."""
        offset = index * space.unit
        place = self._chip.r.at(offset, space.name)
        return f"{place} ({offset:#x})" if place else f"{space.name} {offset:#x}"
