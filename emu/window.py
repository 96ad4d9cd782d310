"""Memory windows: apertures in BAR0 that show adapter memory (window.c interprets these tables)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from vmcoredd.chip import Register
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.spaces import Spaces, WordKind

WINDOWS = 8


class Window(NamedTuple):
    """A window in BAR0: its byte offset, and its size in bytes, a power of two."""

    offset: int
    size: int


class Windows:
    """The windows of one card; `c` is its `struct core`."""

    def __init__(self, c: Any, spaces: Spaces) -> None:
        self._c, self._spaces = c, spaces
        self._bar0 = spaces.space("bar0")
        self._covered: list[tuple[int, bytes, bytes]] = []
        self._keep: list[Any] = []

    def attach(self, memories: Memories) -> None:
        """Makes the adapter's memories visible through the windows."""
        for slot, memory in zip(self._c.memories, memories, strict=False):
            buffer = ffi.from_buffer(memory.memfd.map)
            self._keep.append(buffer)
            slot.bytes, slot.base, slot.size = buffer, memory.base, memory.size

    def place(self, windows: Sequence[Window | None], offsets: Register) -> None:
        """Places all windows in BAR0; `offsets` are the registers that move them over memory."""
        self._uncover()
        for number, window in enumerate(windows):
            slot = self._c.windows[number]
            space, index = self._spaces.where(offsets, number)
            slot.offset = space.pointer(index)
            slot.count = 0
            if window:
                self._cover(number, slot, window)

    def _cover(self, number: int, slot: Any, window: Window) -> None:
        first, count = window.offset // 4, window.size // 4
        bar0, end = self._bar0, first + count
        if end > bar0.count or count & (count - 1):
            return
        links = bar0.links[first:end].tobytes()
        self._covered.append((first, bytes(bar0.kinds[first:end]), links))
        slot.first, slot.count = first, count
        for index in range(first, end):
            bar0.set_kind(index, WordKind.WINDOW, number)

    def _uncover(self) -> None:
        """Restores the kinds of the words under the windows, last window first."""
        while self._covered:
            first, kinds, links = self._covered.pop()
            end = first + len(kinds)
            self._bar0.kinds[first:end] = kinds
            self._bar0.links[first:end] = memoryview(links).cast("H")

    def map(self, number: int, offsets: Register) -> None:
        """Allows guests to map window `number` from now on: see `emu_window_sync()`."""
        slot = self._c.windows[number]
        shadow = ffi.new("uint8_t[]", slot.count * 4)
        self._keep.append(shadow)
        slot.shadow, slot.shown = shadow, 0
        space, index = self._spaces.where(offsets, number)
        space.set_kind(index, WordKind.OFFSET, number)
        self.sync()

    def blind(self, number: int, *, blind: bool) -> None:
        """Makes a window show all ones and lose what is written, or adapter memory again."""
        slot = self._c.windows[number]
        if slot.blind != blind:
            self.sync()  # what was written before it is blind is not lost
            slot.blind = blind
            self.show()

    def show(self) -> None:
        """Shows adapter memory in mapped windows, and discards their previous content."""
        for slot in self._c.windows:
            if slot.shadow:
                words = ffi.cast("uint8_t *", self._bar0.pointer(slot.first))
                ffi.memmove(slot.shadow, words, slot.count * 4)
        self.sync()

    def sync(self) -> None:
        """Synchronises mapped windows and adapter memory, in both directions."""
        for number in range(WINDOWS):
            lib.emu_window_sync(self._c, number)
