"""Names for what a card's words are, and the kinds the register tables give them."""

from __future__ import annotations

from functools import cache

from chip import Chip
from emu.space import ACCESS, Kind, Space

OWN_VIEW = 0x1B000
"""Where a function sees its own registers (t4_regs.h, MYPF_BASE) ..."""
PF_VIEW = 0x1E000
"""... that lie here for function 0 (PF_BASE), and PF_STRIDE further for each next one."""
PF_STRIDE = 0x400


@cache
def bar0_kinds(chip: Chip, count: int) -> bytes:
    """The kinds of BAR0's words before any model speaks: what the tables know of them."""
    kinds = bytearray(count)
    for register in chip.r:
        if register.space == "bar0":
            for element in range(register.count):
                offset = int(register) + element * register.stride
                kinds[offset // 4] = ACCESS.get(register.access, Kind.PLAIN)
                if not register.access or register.access == "rw":
                    kinds[offset // 4] = Kind.UNMODELLED
    own, pf0 = OWN_VIEW // 4, PF_VIEW // 4
    kinds[own : own + PF_STRIDE // 4] = kinds[pf0 : pf0 + PF_STRIDE // 4]
    for start, words in chip.ranges("reg_dump"):
        for index in range(start // 4, start // 4 + words):
            if kinds[index] <= Kind.UNMODELLED:
                kinds[index] = Kind.DUMPED
    return bytes(kinds)


class Names:
    """Decoded names of words, for messages."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def of(self, space: Space, index: int) -> str:
        """What the word is called, with its offset."""
        offset = index * space.unit
        name = self._bar0(offset) if space.name == "bar0" else self._other(space.name, offset)
        return f"{name} ({offset:#x})" if name else f"{space.name} {offset:#x}"

    def _bar0(self, offset: int) -> str:
        if OWN_VIEW <= offset < OWN_VIEW + PF_STRIDE:
            return self._bar0(offset - OWN_VIEW + PF_VIEW).replace("[0]", "[own]")
        place = self._chip.r.at(offset)
        return str(place) if place else ""

    def _other(self, name: str, offset: int) -> str:
        for register in self._chip.r:
            if register.space == name and int(register) == offset:
                return f"{name} {register.name}"
        return ""
