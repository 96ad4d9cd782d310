"""Adapter memory through memory window 0 of BAR0.

The window shows `aperture` bytes of adapter memory. Its base register holds the aperture and the
offset of the window in BAR0, as the first kernel left them. Sources: t4_memory_rw_init(),
t4_memory_update_win() and t4_memory_rw() in t4_hw.c; cudbg_memory_read().
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import MEGABYTE, NO_WINDOW, WINDOW_BASE_SHIFT, MemoryId, window_address
from vmcoredd.hw.device import Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Cell, Check, Io, Op, Read, Write


@dataclass(frozen=True)
class View:
    """A memory as the window shows it. Each later chunk must find the same registers."""

    start: int
    """The start of the memory in window addresses."""
    base: int
    """The offset of the window in BAR0."""
    aperture: int
    """Bytes of the window."""
    read: Sequence[tuple[int, int]]
    """Registers with their values, in the order in which the driver reads them for each chunk."""


class Window:
    """Window 0 of an adapter. Each method makes the accesses of some t4_memory_rw() calls."""

    def __init__(self, io: Io, chip: Chip, device: Device) -> None:
        self._io, self._r, self._device = io, chip.r, device

    def view(self, memory: int) -> View:
        """Reads the registers that locate `memory`.

        Raises DeviceError -ENXIO if the window is not in BAR0.
        """
        edc, mc = self._r.MA_EDRAM0_BAR, self._r.MA_EXT_MEMORY0_BAR
        registers = [edc, *[mc] * (memory == MemoryId.MC1), self._r.PCIE_MEM_ACCESS_BASE_WIN]
        found = dict(zip(registers, read_each(self._io, registers), strict=True))
        edc_bytes = edc.get(found[edc], "EDRAM0_SIZE") * MEGABYTE
        mc_bytes = mc.get(found[mc], "EXT_MEM0_SIZE") * MEGABYTE if mc in found else 0
        start = window_address(memory, edc_bytes, mc_bytes) & U32_MASK
        return self._view(start, [(int(register), word) for register, word in found.items()])

    def _view(self, start: int, found: list[tuple[int, int]]) -> View:
        window = self._r.PCIE_MEM_ACCESS_BASE_WIN
        word = found[-1][1]
        aperture = 1 << (window.get(word, "Window") + WINDOW_BASE_SHIFT & 31)
        base = window.get(word, "PCIEOfst") << WINDOW_BASE_SHIFT & U32_MASK
        if word == NO_WINDOW or base + aperture > self._device.bar0_bytes:
            raise DeviceError(-errno.ENXIO, f"memory window 0 is {word:#x}")
        return View(start, base, aperture, found)

    def read(self, memory: int, address: int, out: memoryview, width: int) -> None:
        """Fills `out` from `address` in `memory` on, `width` (4 or 8) bytes at a time."""
        self.read_chunks(self.view(memory), [(address, len(out))], out, width, known=False)

    def read_chunks(
        self,
        view: View,
        chunks: Sequence[tuple[int, int]],
        out: memoryview,
        width: int,
        *,
        known: bool,
    ) -> None:
        """Reads chunks (address, bytes) into `out`, adjacent, in one program.

        The kernel reads the registers of `view` for each chunk, and so does this; `known` is false
        if view() has just read them for the first chunk. Raises DeviceError -ENXIO if one has
        changed.
        """
        rows = []
        for address, size in chunks:
            rows += _moves(view, address, size, width, self._device.pf, again=known)
            known = True
        offset = self._r.PCIE_MEM_ACCESS_OFFSET
        ops: list[Op] = [
            Check(register, U32_MASK, value, error=-errno.ENXIO, count=Cell(0))
            for register, value in view.read
        ]
        ops += [
            Write(offset, Cell(1)),
            Read(offset, keep=False),
            Read(Cell(2), count=Cell(3), width=width),
        ]
        self._io.run(ops, rows, out)


def _moves(
    view: View, address: int, size: int, width: int, pf: int, *, again: bool
) -> list[tuple[int, int, int, int]]:
    """Returns a row for each position of the window.

    A row is: whether to read the registers of `view` first, the position with the function in its
    low bits, the offset in BAR0 to read, and the number of values. A chunk that ends with the
    window moves the window once more.
    """
    if not size:
        return []
    start, aperture = address + view.start & U32_MASK, view.aperture
    end, inside = start + size, start % aperture
    first = min(size, aperture - inside)
    moves = [(int(again), start - inside | pf, view.base + inside, first // width)]
    further = range(start - inside + aperture | pf, end + pf + 1, aperture)
    moves += zip(repeat(0), further, repeat(view.base), repeat(aperture // width))
    if further:
        moves[-1] = (0, further[-1], view.base, end % aperture // width)
    return moves
