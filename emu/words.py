"""The words of a card: its spaces, and what kind each word is.

BAR0 is a space of words; every space reached through an index port is one more. A silicon model
names words by the registers of `chip.r`, where a misspelt one raises UnknownRegister.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vmcoredd.chip import Chip, Register
from vmcoredd.emu.errors import ModelError
from vmcoredd.emu.space import Kind, Space


class Words:
    """All spaces of one card, by name and by register."""

    def __init__(self, chip: Chip) -> None:
        self.chip, self.r = chip, chip.r
        self.spaces: list[Space] = []
        self._by_name: dict[str, Space] = {}

    def add(self, name: str, count: int, *, unit: int, kinds: bool, memory: Any = None) -> Space:
        """A new space; ModelError if the name is taken."""
        if name in self._by_name:
            raise ModelError(f"two spaces called {name}")
        space = Space(name, len(self.spaces), count, unit=unit, kinds=kinds, memory=memory)
        self.spaces.append(space)
        self._by_name[name] = space
        return space

    def table(self, name: str, rows: int, width: int = 1, *, unit: int = 1) -> Space:
        """A new space of plain words: `rows` rows of `width` words, all 0."""
        return self.add(name, rows * width, unit=unit, kinds=False)

    def registers(self, name: str, count: int, *, unit: int = 4) -> Space:
        """A new space whose words have kinds, all plain at first."""
        space = self.add(name, count, unit=unit, kinds=True)
        space.kinds[:] = bytes([Kind.PLAIN]) * count
        return space

    def space(self, name: str) -> Space:
        """The space of that name; ModelError if no model made it."""
        if name not in self._by_name:
            raise ModelError(f"no space called {name}; there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def where(self, register: Register, element: int = 0) -> tuple[Space, int]:
        """The space and index of (an element of) a register."""
        space = self.space(register.space)
        offset = register[element] if register.count > 1 else int(register)
        return space, space.index(offset)

    def get(self, register: Register, element: int = 0) -> int:
        """The stored word, without any side effect."""
        space, index = self.where(register, element)
        return space.words[index]

    def set(self, register: Register, value: int, element: int = 0) -> None:
        """Stores a word, whatever its kind, without any side effect."""
        space, index = self.where(register, element)
        space.words[index] = value

    def fields(self, register: Register, **values: int) -> None:
        """Stores a word given by its fields."""
        self.set(register, register.of(**values))

    def set_all(self, register: Register, values: Iterable[int]) -> None:
        """Stores the first elements of an array, without any side effect."""
        for element, value in enumerate(values):
            self.set(register, value, element)

    def access(self, kind: Kind, *registers: Register) -> None:
        """Says of which kind registers (all their elements) are."""
        for register in registers:
            for element in range(register.count):
                space, index = self.where(register, element)
                space.set_kind(index, kind)

    def plain(self, register: Register, *values: int) -> None:
        """A register that holds what is written; `values` of its first elements."""
        self._declare(Kind.PLAIN, register, values)

    def read_only(self, register: Register, *values: int) -> None:
        """A register that refuses writes."""
        self._declare(Kind.READ_ONLY, register, values)

    def write_to_clear(self, register: Register, *values: int) -> None:
        """A register whose bits are cleared by writing them as 1."""
        self._declare(Kind.CLEAR, register, values)

    def _declare(self, kind: Kind, register: Register, values: Sequence[int]) -> None:
        self.access(kind, register)
        self.set_all(register, values)
