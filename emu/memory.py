"""The adapter's memories: their content, and their addresses on the adapter.

EDC0, EDC1, MC0 and MC1 are contiguous from address 0: the driver computes window addresses from
their sizes (t4_hw.c, t4_memory_rw_init()). Host memory given to the adapter (HMA) follows the EDCs
in place of MC, so a card has one or the other.
"""

from __future__ import annotations

import gc
import mmap
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping

from pyvfio_user import memory_file
from vmcoredd.chip.memory import MEGABYTE, MemoryType
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.errors import ModelError

NAMES = ("edc0", "edc1", "mc0", "mc1", "hma")
"""The memories' names in profiles, in the order of the driver's numbers."""


class _OpenFiles:
    """Keeps the files of forgotten cards from adding up to the limit of descriptors.

    A card is a cycle of objects, which only the garbage collector frees; that one runs when there
    are many new objects, however many descriptors they hold.
    """

    FEW = 256

    def __init__(self) -> None:
        self._files: weakref.WeakSet[Memfd] = weakref.WeakSet()
        self._most = self.FEW

    def add(self, file: Memfd) -> None:
        self._files.add(file)
        if len(self._files) > self._most:
            gc.collect()
            self._most = max(2 * len(self._files), self.FEW)


_open_files = _OpenFiles()


class Memfd:
    """Sparse memory of `size` bytes (a multiple of the page size); reads as 0 until written.

    `view` maps it here. Copies leave its holes alone. Its size is sealed. The descriptor is closed
    by `close()`, or with the object.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.fd = memory_file(f"emu:{name}", size)
        self.map = mmap.mmap(self.fd, size)
        self.close = weakref.finalize(self, os.close, self.fd)
        self.view = memoryview(self.map)
        self._part: tuple[Memfd, int, int] | None = None
        _open_files.add(self)

    def share(self, offset: int, length: int) -> Memfd:
        """Returns a file that holds these bytes alone, at their offset, for clients to map.

        From then on, both share these bytes: what is written to one is in the other.
        """
        part = Memfd(f"{self.name} part", offset + length)
        part.view[offset:] = self.view[offset : offset + length]
        whole = ffi.cast("uint8_t *", ffi.from_buffer(self.map))
        error = lib.emu_map_over(whole + offset, length, part.fd, offset)
        if error:
            raise OSError(-error, os.strerror(-error))
        self._part = (part, offset, length)
        return part

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yields (offset, length) of each part that has ever been written."""
        offset = 0
        while True:
            try:
                start = os.lseek(self.fd, offset, os.SEEK_DATA)
            except OSError:
                break
            offset = os.lseek(self.fd, start, os.SEEK_HOLE)
            yield start, offset - start
        if self._part:
            yield self._part[1:]

    @property
    def used(self) -> int:
        """The bytes that are no hole."""
        return sum(length for _, length in self.extents())

    def copy(self) -> Memfd:
        """Returns a sparse copy."""
        twin = Memfd(self.name, self.size)
        for start, length in self.extents():
            twin.view[start : start + length] = self.view[start : start + length]
        return twin

    def clear(self) -> None:
        """Makes all of it a hole."""
        self.map.madvise(mmap.MADV_REMOVE)

    def assign(self, other: Memfd) -> None:
        """Copies the content and the holes of `other`, which has the same size."""
        self.clear()
        for start, length in other.extents():
            self.view[start : start + length] = other.view[start : start + length]


class Memory:
    """One memory: `size` bytes from adapter address `base`; `type` is the chip's description."""

    def __init__(self, kind: MemoryType, base: int, size: int) -> None:
        self.type, self.base, self.size = kind, base, size
        self.name = NAMES[kind.number]
        self.memfd = Memfd(self.name, size)

    @property
    def end(self) -> int:
        """The first address past it."""
        return self.base + self.size


class Memories:
    """A card's memories, by name and by address."""

    def __init__(self, kinds: Iterable[MemoryType], sizes: Mapping[str, int]) -> None:
        """`sizes` are in MiB, by name; a memory of 0 MiB is absent."""
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
        """Returns `length` bytes at an adapter address; ModelError if there is no memory."""
        parts = self._parts(address, length)
        return b"".join(memory.memfd.view[at : at + n] for memory, at, n in parts)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Writes `data` at an adapter address; ModelError if there is no memory."""
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
