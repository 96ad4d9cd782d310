"""A ring's memory, and what is taken out of it."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator

from vmcoredd.trace._cffi import ffi, lib
from vmcoredd.trace.records import DMA_CARRIED, RECORD_BYTES

RING_BYTES = 64 << 20
"""The size of a ring: more than two dumps fit."""
IDLE_SECONDS = 1.0
"""How long an event may take that has begun when the trace ends: a slow hook in Python."""


_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
"""All of the memory is there at once: page faults would double the time of a first dump."""


class Ring:
    """A ring of `size` bytes, a power of two; one thread puts records in, one takes them out.

    Of each DMA `dma_carried` bytes are kept at most.
    """

    def __init__(self, size: int = RING_BYTES, dma_carried: int = DMA_CARRIED) -> None:
        if size < mmap.PAGESIZE or size & (size - 1):
            raise ValueError(f"{size}: the size of a ring is a power of two, in bytes")
        self.size = size
        self._memory = mmap.mmap(-1, size, _FLAGS)
        self._view = memoryview(self._memory)
        self._records = ffi.from_buffer("struct trace_record[]", self._memory)
        self._c = ffi.new("struct trace_ring *")
        self._c.records, self._c.capacity = self._records, size // RECORD_BYTES
        self._c.dma_carried = dma_carried

    @property
    def address(self) -> int:
        """The address of its `struct trace_ring`, for who puts records in."""
        return int(ffi.cast("uintptr_t", self._c))

    @property
    def events(self) -> int:
        """The events that found room so far."""
        return int(self._c.events)

    @property
    def lost(self) -> int:
        """The events that found none."""
        return int(self._c.lost_in_all)

    @property
    def untold(self) -> int:
        """Those of them that no record in the ring tells of, because none came after them."""
        return int(self._c.lost)

    @property
    def ready_bytes(self) -> int:
        """The size of the records that may be taken."""
        return int(lib.trace_ready(self._c)) * RECORD_BYTES

    def take(self, most: int = 1 << 62, in_all: int = 1 << 62) -> Iterator[memoryview]:
        """Yields the records that are ready now, in pieces of at most so many bytes; each is given
        back when the next is asked for, so ask until there is none."""
        left = min(int(lib.trace_ready(self._c)), in_all // RECORD_BYTES)
        while left:
            first = self._c.tail % self._c.capacity
            count = min(left, self._c.capacity - first, most // RECORD_BYTES)
            yield self._view[first * RECORD_BYTES : (first + count) * RECORD_BYTES]
            lib.trace_taken(self._c, count)
            left -= count

    def settle(self) -> bool:
        """Waits until no event is left that has begun; no new one may begin. False: one hangs."""
        end = time.monotonic() + IDLE_SECONDS
        while not lib.trace_idle(self._c):
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True
