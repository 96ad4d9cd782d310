"""The adapter's memories and where they lie in the adapter's address space.

EDC0, EDC1, MC0 and MC1 lie one behind the other from address 0 (the driver computes window
addresses from their sizes: t4_hw.c, t4_memory_rw_init()); host memory given to the adapter (HMA)
takes MC's place behind the EDCs, so a card has either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vmcoredd.chip.memory import MEGABYTE, MemoryType
from vmcoredd.emu.errors import ModelError
from vmcoredd.emu.memfd import Memfd

NAMES = ("edc0", "edc1", "mc0", "mc1", "hma")
"""What profiles call the memories, by the driver's numbers of them."""


class Memory:
    """One memory: `size` bytes at adapter address `base`; `type` says what the chip knows of it."""

    def __init__(self, kind: MemoryType, base: int, size: int) -> None:
        self.type, self.base, self.size = kind, base, size
        self.name = NAMES[kind.number]
        self.memfd = Memfd(self.name, size)

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size


class Memories:
    """Those a card has, by name and by address."""

    def __init__(self, kinds: Iterable[MemoryType], sizes: Mapping[str, int]) -> None:
        """`sizes` in MiB, by name; those of 0 MiB are absent."""
        self._by_name: dict[str, Memory] = {}
        base = 0
        for kind in kinds:
            if size := sizes[NAMES[kind.number]] * MEGABYTE:
                self._by_name[NAMES[kind.number]] = Memory(kind, base, size)
                base += size
        self.end = base

    def __iter__(self) -> Iterator[Memory]:
        return iter(self._by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Memory:
        return self._by_name[name]

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes at an adapter address; ModelError where no memory is."""
        parts = self._parts(address, length)
        return b"".join(memory.memfd.view[at : at + n] for memory, at, n in parts)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Puts `data` at an adapter address; ModelError where no memory is."""
        done = 0
        for memory, at, n in self._parts(address, len(data)):
            memory.memfd.view[at : at + n] = data[done : done + n]
            done += n

    def _parts(self, address: int, length: int) -> list[tuple[Memory, int, int]]:
        parts = []
        while length > 0:
            memory = self._at(address)
            n = min(length, memory.end - address)
            parts.append((memory, address - memory.base, n))
            address, length = address + n, length - n
        return parts

    def _at(self, address: int) -> Memory:
        for memory in self:
            if memory.base <= address < memory.end:
                return memory
        raise ModelError(f"no adapter memory at {address:#x}")
