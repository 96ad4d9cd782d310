"""A space: an array of 32-bit words shared with the C core, each with a kind."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.errors import ModelError


class Kind(IntEnum):
    """`enum word_kind` of core.h, in its order."""

    UNDESCRIBED = 0
    UNMODELLED = 1
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


ACCESS = {"ro": Kind.READ_ONLY, "w1c": Kind.CLEAR, "wo": Kind.PLAIN}
"""Values of the register tables' access column that say all of a word's behaviour."""


class Space:
    """`count` words. `words`, `kinds` and `links` are the very memory that C works on.

    `unit` is what offsets in this space count: 4 where they are bytes (BAR0, CIM), 1 where they
    count words (index ports). Words are little-endian; `memory`, a writable buffer of `4 * count`
    bytes, is where they live, if they are to be shared.
    """

    def __init__(
        self,
        name: str,
        number: int,
        count: int,
        *,
        unit: int = 4,
        kinds: bool = True,
        memory: Any = None,
    ) -> None:
        if not 0 < count <= 1 << 24:
            raise ModelError(f"{name}: a space of {count} words")
        self.name, self.number, self.count, self.unit = name, number, count, unit
        store = bytearray(4 * count) if memory is None else memory
        links = bytearray(2 * count if kinds else 0)
        self.words = memoryview(store).cast("I")
        self.kinds = bytearray(count if kinds else 0)
        self.links = memoryview(links).cast("H")
        self.c: Any = ffi.new("struct space *")
        # Not from the views: the garbage collector cannot clear a view that C looks through.
        self._keep = [ffi.from_buffer(item) for item in (store, self.kinds, links)]
        self.c.words = ffi.cast("uint32_t *", self._keep[0])
        self.c.kinds = ffi.cast("uint8_t *", self._keep[1]) if kinds else ffi.NULL
        self.c.links = ffi.cast("uint16_t *", self._keep[2]) if kinds else ffi.NULL
        self.c.count, self.c.number = count, number

    def index(self, offset: int) -> int:
        """The word at `offset`; ModelError outside, or between words."""
        index, rest = divmod(offset, self.unit)
        if rest or not 0 <= index < self.count:
            raise ModelError(f"{self.name} has no word at {offset:#x}")
        return index

    def pointer(self, index: int) -> Any:
        """The address of a word, for C."""
        return self.c.words + index

    def set_kind(self, index: int, kind: Kind, link: int = 0) -> None:
        """Says of which kind a word is, and what it belongs to."""
        if not self.kinds:
            raise ModelError(f"words of {self.name} have no kinds")
        self.kinds[index], self.links[index] = kind, link

    def fill(self, first: int, values: Iterable[int]) -> None:
        """Puts `values` into the words from index `first` on."""
        for index, value in enumerate(values, first):
            self.words[index] = value
