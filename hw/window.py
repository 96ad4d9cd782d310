"""Adapter memory through memory window 0 of BAR0.

The window shows `aperture` bytes of the adapter's memory; where they lie in BAR0, and how many, the
window's base register tells, which nobody has programmed since the first kernel. Source:
t4_memory_rw_init(), t4_memory_update_win(), t4_memory_rw() (t4_hw.c), cudbg_memory_read().
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import repeat

from vmcoredd.chip import Chip
from vmcoredd.chip.memory import MEGABYTE, window_address
from vmcoredd.hw.device import Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Check, Column, Io, Op, Read, Write

_WORD = 0xFFFFFFFF
_DEAD = 0xFFFFFFFF  # what a read of an adapter that is gone gives


class Memory(IntEnum):
    """Kinds of memory, numbered as the driver does (cxgb4.h, MEM_EDC0 and so on)."""

    EDC0 = 0
    EDC1 = 1
    MC0 = 2
    MC1 = 3
    HMA = 4


@dataclass(frozen=True)
class Place:
    """Where a kind of memory is seen; what was read for it is what later chunks must read too."""

    start: int
    """Of that memory in the adapter's address space."""
    base: int
    """Of the window in BAR0."""
    aperture: int
    read: Sequence[tuple[int, int]]
    """Registers and what they held, in the order in which they are read for each chunk."""


class Window:
    """Window 0 of an adapter. Every method is one `t4_memory_rw()` or several in a row."""

    def __init__(self, io: Io, chip: Chip, device: Device) -> None:
        self._io, self._r, self._device = io, chip.r, device

    def place(self, memory: int) -> Place:
        """Reads where `memory` is seen. DeviceError -ENXIO if the window is not in BAR0."""
        edc, mc = self._r.MA_EDRAM0_BAR, self._r.MA_EXT_MEMORY0_BAR
        registers = [edc, *[mc] * (memory == Memory.MC1), self._r.PCIE_MEM_ACCESS_BASE_WIN]
        found = dict(zip(registers, read_each(self._io, registers), strict=True))
        edc_bytes = edc.get(found[edc], "EDRAM0_SIZE") * MEGABYTE
        mc_bytes = mc.get(found[mc], "EXT_MEM0_SIZE") * MEGABYTE if mc in found else 0
        start = window_address(memory, edc_bytes, mc_bytes) & _WORD
        return self._place(start, [(int(register), word) for register, word in found.items()])

    def _place(self, start: int, found: list[tuple[int, int]]) -> Place:
        window = self._r.PCIE_MEM_ACCESS_BASE_WIN
        word = found[-1][1]
        aperture = 1 << (window.get(word, "Window") + 10 & 31)
        base = window.get(word, "PCIEOfst") << 10 & _WORD
        if word == _DEAD or base + aperture > self._device.bar0_bytes:
            raise DeviceError(-errno.ENXIO, f"memory window 0 is {word:#x}")
        return Place(start, base, aperture, found)

    def read(self, memory: int, address: int, out: memoryview, width: int) -> None:
        """Fills `out` from `address` of `memory`, `width` (4 or 8) bytes at a time."""
        self.read_chunks(self.place(memory), [(address, len(out))], out, width, known=False)

    def read_chunks(
        self,
        place: Place,
        chunks: Sequence[tuple[int, int]],
        out: memoryview,
        width: int,
        *,
        known: bool,
    ) -> None:
        """Chunks (address, bytes) into `out`, one behind the other, all under way together.

        The kernel reads `place` anew for each. That is done here too, but for the first chunk
        behind `place()` (`known` false); if it changed, nothing makes sense any more: DeviceError
        -ENXIO.
        """
        rows = []
        for address, size in chunks:
            rows += _moves(place, address, size, width, self._device.pf, again=known)
            known = True
        offset = self._r.PCIE_MEM_ACCESS_OFFSET
        ops: list[Op] = [
            Check(register, _WORD, value, error=-errno.ENXIO, count=Column(0))
            for register, value in place.read
        ]
        ops += [
            Write(offset, Column(1)),
            Read(offset, keep=False),
            Read(Column(2), count=Column(3), width=width),
        ]
        self._io.run(ops, rows, out)


def _moves(
    place: Place, address: int, size: int, width: int, pf: int, *, again: bool
) -> list[tuple[int, int, int, int]]:
    """Each position of the window: whether `place` is read before, the position with the function
    in its low bits, where in BAR0 to read, and how many values. After a chunk that ends with the
    window, it is moved once more."""
    if not size:
        return []
    start, aperture = address + place.start & _WORD, place.aperture
    end, inside = start + size, start % aperture
    first = min(size, aperture - inside)
    moves = [(int(again), start - inside | pf, place.base + inside, first // width)]
    further = range(start - inside + aperture | pf, end + pf + 1, aperture)
    moves += zip(repeat(0), further, repeat(place.base), repeat(aperture // width))
    if further:
        moves[-1] = (0, further[-1], place.base, end % aperture // width)
    return moves
