"""The queues of the CIM, the firmware's processor: inbound from other blocks, outbound to them.

Sizes are in bytes, pointers in bytes from the start of a queue. The inbound queues share 16 KiB of
memory, in units of 256 bytes, and so do the outbound ones (t4_hw.c, t4_read_cimq_cfg()).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from vmcoredd.chip.cim import (
    FLIT_BYTES,
    INBOUND,
    INBOUND_WORDS,
    OUTBOUND,
    QUEUE_UNIT_BYTES,
    THRESHOLD_UNIT,
    Queue,
)
from vmcoredd.emu.profile import Profile

MEMORY_WORDS = 4096
OPCODES = (0x0F, 0x05, 0x1D, 0x20, 0xC0)
"""Opcodes of the messages in the queues: CPL_TX_PKT_LSO, CPL_PASS_OPEN_REQ and others."""


@dataclass(frozen=True)
class CimQueue:
    """One queue: `used` bytes wait at `read`; `packets` have passed since reset."""

    queue: Queue
    base: int
    size: int
    threshold: int
    read: int
    used: int
    packets: int
    content: tuple[int, ...]
    """Its whole memory, including words that were already read."""

    @property
    def write(self) -> int:
        """Where the next flit goes."""
        return (self.read + self.used) % self.size

    @property
    def free_flits(self) -> int:
        """The number of free flits."""
        return (self.size - self.used) // FLIT_BYTES


@dataclass(frozen=True)
class CimQueues:
    """All queues, by number."""

    inbound: tuple[CimQueue, ...]
    outbound: tuple[CimQueue, ...]

    @classmethod
    def unused(cls, profile: Profile) -> CimQueues:
        """Returns empty queues that nothing has passed."""
        size = profile.queues.obq_size * QUEUE_UNIT_BYTES
        return cls(
            tuple(_empty(each, 4 * INBOUND_WORDS) for each in INBOUND),
            tuple(_empty(each, size) for each in OUTBOUND),
        )

    @classmethod
    def make(cls, profile: Profile, tids: Sequence[int], random: Random) -> CimQueues:
        """Returns contiguous queues that hold messages about `tids`."""
        size = profile.queues.obq_size * QUEUE_UNIT_BYTES
        return cls(
            tuple(_queue(each, 4 * INBOUND_WORDS, tids, random) for each in INBOUND),
            tuple(_queue(each, size, tids, random) for each in OUTBOUND),
        )


def _empty(queue: Queue, size: int) -> CimQueue:
    return CimQueue(
        queue=queue,
        base=queue.number * size,
        size=size,
        threshold=size // 8 // THRESHOLD_UNIT * THRESHOLD_UNIT - THRESHOLD_UNIT,
        read=0,
        used=0,
        packets=0,
        content=(0,) * (size // 4),
    )


def _queue(queue: Queue, size: int, tids: Sequence[int], random: Random) -> CimQueue:
    used = random.choice((0, 0, 0, 1, 2, 4)) * FLIT_BYTES
    return replace(
        _empty(queue, size),
        read=random.randrange(size // FLIT_BYTES) * FLIT_BYTES,
        used=min(used, size - FLIT_BYTES),
        packets=random.randrange(1 << 12),
        content=tuple(_words(size // 4, tids, random)),
    )


def _words(count: int, tids: Sequence[int], random: Random) -> list[int]:
    """Returns messages of one to four flits: opcode and TID, a sequence number, then data."""
    words: list[int] = []
    while len(words) < count:
        flits = random.randrange(1, 5)
        words += [random.choice(OPCODES) << 24 | random.choice(tids), len(words)]
        words += [random.getrandbits(32) for _ in range(flits * FLIT_BYTES // 4 - 2)]
    return words[:count]
