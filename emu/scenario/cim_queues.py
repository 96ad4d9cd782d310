"""The queues of the CIM, the firmware's processor: inbound from other blocks, outbound to them.

Pointers and sizes are in bytes, from the queue's start; a flit is 16 bytes. Both memories hold
16 KiB, which queues share in units of 256 bytes (t4_hw.c, t4_read_cimq_cfg()).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from vmcoredd.chip.cim import (
    INBOUND,
    INBOUND_WORDS,
    OUTBOUND,
    QUEUE_UNIT_BYTES,
    THRESHOLD_UNIT,
    Queue,
)
from vmcoredd.emu.profile import Profile

FLIT = 16
MEMORY_WORDS = 4096
OPCODES = (0x0F, 0x05, 0x1D, 0x20, 0xC0)
"""Of messages that pass through: CPL_TX_PKT_LSO, CPL_PASS_OPEN_REQ and others, as data."""


@dataclass(frozen=True)
class CimQueue:
    """One queue. `used` bytes from `read` on wait in it; `packets` went through it since reset."""

    queue: Queue
    base: int
    size: int
    threshold: int
    read: int
    used: int
    packets: int
    content: tuple[int, ...]
    """All words of it, waiting or left over."""

    @property
    def write(self) -> int:
        """Where the next flit goes."""
        return (self.read + self.used) % self.size

    @property
    def free_flits(self) -> int:
        """Flits that fit."""
        return (self.size - self.used) // FLIT


@dataclass(frozen=True)
class CimQueues:
    """All of them, in the order of their numbers."""

    inbound: tuple[CimQueue, ...]
    outbound: tuple[CimQueue, ...]

    @classmethod
    def make(cls, profile: Profile, tids: Sequence[int], random: Random) -> CimQueues:
        """Queues one behind the other, with what passed through them: messages about `tids`."""
        size = profile.queues.obq_size * QUEUE_UNIT_BYTES
        return cls(
            tuple(_queue(each, 4 * INBOUND_WORDS, tids, random) for each in INBOUND),
            tuple(_queue(each, size, tids, random) for each in OUTBOUND),
        )


def _queue(queue: Queue, size: int, tids: Sequence[int], random: Random) -> CimQueue:
    used = random.choice((0, 0, 0, 1, 2, 4)) * FLIT
    return CimQueue(
        queue=queue,
        base=queue.number * size,
        size=size,
        threshold=size // 8 // THRESHOLD_UNIT * THRESHOLD_UNIT - THRESHOLD_UNIT,
        read=random.randrange(size // FLIT) * FLIT,
        used=min(used, size - FLIT),
        packets=random.randrange(1 << 12),
        content=tuple(_words(size // 4, tids, random)),
    )


def _words(count: int, tids: Sequence[int], random: Random) -> list[int]:
    """Messages of one to four flits: a word with opcode and TID, a sequence number, then data."""
    words: list[int] = []
    while len(words) < count:
        flits = random.randrange(1, 5)
        words += [random.choice(OPCODES) << 24 | random.choice(tids), len(words)]
        words += [random.getrandbits(32) for _ in range(flits * FLIT // 4 - 2)]
    return words[:count]
