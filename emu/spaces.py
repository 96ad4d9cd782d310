"""Spaces: arrays of 32-bit words shared with the C core, where each word has a kind.

BAR0 is one space; each address space behind index registers (CIM, TP_PIO, a TCAM) is another. A
silicon model names words by the registers of `chip.r`, where a misspelt name raises
UnknownRegister. Words are little-endian.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cache
from typing import Any

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.errors import ModelError
from vmcoredd.plural import exact


class WordKind(IntEnum):
    """`enum word_kind` of core.h, in the same order."""

    UNDESCRIBED = 0
    UNIMPLEMENTED = 1
    DUMPED = 2
    PLAIN = 3
    READ_ONLY = 4
    CLEAR = 5
    COMMAND = 6
    DATA = 7
    HOOK = 8
    HOOK_WRITE = 9
    WINDOW = 10
    OFFSET = 11
    ALIAS = 12
    DOORBELL = 13


BY_ACCESS = {"ro": WordKind.READ_ONLY, "w1c": WordKind.CLEAR, "wo": WordKind.PLAIN}
"""The kinds that the register tables' access column fully determines."""


class Space:
    """`count` words. C works directly on the memory of `words`, `kinds` and `links`.

    `stride` is the difference between the offsets of two neighbouring words: 4 where offsets count
    bytes (BAR0, CIM), 1 where they count words (index registers). `memory`, a writable buffer of
    `4 * count` bytes, holds the words if they are to be shared.
    """

    def __init__(
        self,
        name: str,
        number: int,
        count: int,
        *,
        stride: int = 4,
        kinds: bool = True,
        memory: Any = None,
    ) -> None:
        if not 0 < count <= 1 << 24:
            raise ModelError(f"{name}: a space of {exact(count, 'word')}")
        self.name, self.number, self.count, self.stride = name, number, count, stride
        store = bytearray(4 * count) if memory is None else memory
        links = bytearray(2 * count if kinds else 0)
        self.words = memoryview(store).cast("I")
        self.kinds = bytearray(count if kinds else 0)
        self.links = memoryview(links).cast("H")
        self.c: Any = ffi.new("struct space *")
        # Not from the views: the garbage collector cannot clear a view that C still refers to.
        self._keep = [ffi.from_buffer(item) for item in (store, self.kinds, links)]
        self.c.words = ffi.cast("uint32_t *", self._keep[0])
        self.c.kinds = ffi.cast("uint8_t *", self._keep[1]) if kinds else ffi.NULL
        self.c.links = ffi.cast("uint16_t *", self._keep[2]) if kinds else ffi.NULL
        self.c.count, self.c.number = count, number

    def index(self, offset: int) -> int:
        """Returns the index of the word at `offset`; ModelError if no word starts there."""
        index, rest = divmod(offset, self.stride)
        if rest or not 0 <= index < self.count:
            raise ModelError(f"{self.name} has no word at {offset:#x}")
        return index

    def pointer(self, index: int) -> Any:
        """Returns the address of a word, for C."""
        return self.c.words + index

    def set_kind(self, index: int, kind: WordKind, link: int = 0) -> None:
        """Sets a word's kind, and the command, lookup, hook, window or word it is linked to."""
        if not self.kinds:
            raise ModelError(f"words of {self.name} have no kinds")
        self.kinds[index], self.links[index] = kind, link

    def fill(self, first: int, values: Iterable[int]) -> None:
        """Stores `values` in the words from index `first` on."""
        for index, value in enumerate(values, first):
            self.words[index] = value


class Spaces:
    """All spaces of one card, by name and by register; `all` is in the order of their numbers."""

    def __init__(self, chip: Chip) -> None:
        self.chip, self.r = chip, chip.r
        self.all: list[Space] = []
        self._by_name: dict[str, Space] = {}

    def add(self, name: str, count: int, *, stride: int, kinds: bool, memory: Any = None) -> Space:
        """Adds a space; ModelError if the name is taken."""
        if name in self._by_name:
            raise ModelError(f"two spaces called {name}")
        space = Space(name, len(self.all), count, stride=stride, kinds=kinds, memory=memory)
        self.all.append(space)
        self._by_name[name] = space
        return space

    def table(self, name: str, rows: int, width: int = 1, *, stride: int = 1) -> Space:
        """Adds a space of plain words: `rows` rows of `width` words, all 0."""
        return self.add(name, rows * width, stride=stride, kinds=False)

    def registers(self, name: str, count: int, *, stride: int = 4) -> Space:
        """Adds a space whose words have kinds; all are plain at first."""
        space = self.add(name, count, stride=stride, kinds=True)
        space.kinds[:] = bytes([WordKind.PLAIN]) * count
        return space

    def space(self, name: str) -> Space:
        """Returns the space called `name`; ModelError if no model has added it."""
        if name not in self._by_name:
            raise ModelError(f"no space called {name}; there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def where(self, register: Register, element: int = 0) -> tuple[Space, int]:
        """Returns the space and index of a register, or of an element of an array."""
        space = self.space(register.space)
        offset = register[element] if register.count > 1 else int(register)
        return space, space.index(offset)

    # Values, without side effects

    def get(self, register: Register, element: int = 0) -> int:
        """Returns the stored word."""
        space, index = self.where(register, element)
        return space.words[index]

    def set(self, register: Register, value: int, element: int = 0) -> None:
        """Stores a word, whatever its kind."""
        space, index = self.where(register, element)
        space.words[index] = value

    def fields(self, register: Register, **values: int) -> None:
        """Stores a word given by its fields."""
        self.set(register, register.of(**values))

    def set_bits(self, register: Register, *fields: str, element: int = 0) -> None:
        """Sets all bits of these fields; the others stay."""
        self.set(register, self.get(register, element) | register.mask(*fields), element)

    def put(self, register: Register, *, element: int = 0, **values: int) -> None:
        """Stores values in these fields of a word; the others stay."""
        kept = self.get(register, element) & ~register.mask(*values)
        self.set(register, kept | register.of(**values), element)

    def add64(self, name: str, value: int, element: int = 0) -> None:
        """Adds to the 64-bit counter in the registers `name`_L and `name`_H of BAR0."""
        low, high = self.r[f"{name}_L"], self.r[f"{name}_H"]
        total = (self.get(high, element) << 32 | self.get(low, element)) + value
        self.set(low, total & U32_MASK, element)
        self.set(high, total >> 32, element)

    def set_all(self, register: Register, values: Iterable[int]) -> None:
        """Stores the first elements of an array."""
        for element, value in enumerate(values):
            self.set(register, value, element)

    # Kinds

    def access(self, kind: WordKind, *registers: Register) -> None:
        """Sets the kind of registers, with all their elements."""
        for register in registers:
            for element in range(register.count):
                space, index = self.where(register, element)
                space.set_kind(index, kind)

    def plain(self, register: Register, *values: int) -> None:
        """Makes a register hold what is written; `values` go into its first elements."""
        self._declare(WordKind.PLAIN, register, values)

    def read_only(self, register: Register, *values: int) -> None:
        """Makes a register refuse writes."""
        self._declare(WordKind.READ_ONLY, register, values)

    def _declare(self, kind: WordKind, register: Register, values: Sequence[int]) -> None:
        self.access(kind, register)
        self.set_all(register, values)


@cache
def described(chip: Chip, count: int) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """Returns the register tables' facts about BAR0: each word's kind, and (index, reset value).

    A register with a reset value counts as plain storage unless its access column says otherwise.
    """
    kinds = bytearray(count)
    resets = []
    for register in chip.r:
        if register.space != "bar0":
            continue
        kind = BY_ACCESS.get(register.access, WordKind.UNIMPLEMENTED)
        if register.reset_source:
            resets.append((int(register) // 4, register.reset))
            kind = WordKind.PLAIN if register.access == "rw" else kind
        for element in range(register.count):
            kinds[(int(register) + element * register.stride) // 4] = kind
    for start, words in chip.ranges("reg_dump"):
        for index in range(start // 4, start // 4 + words):
            if kinds[index] <= WordKind.UNIMPLEMENTED:
                kinds[index] = WordKind.DUMPED
    return bytes(kinds), tuple(resets)
