"""The device log: a ring of records in adapter memory that the firmware writes as it works."""

from __future__ import annotations

from vmcoredd.chip.devlog import ENTRIES_UNIT, FORMAT_BYTES, PARAMS, Entry, Facility, Level
from vmcoredd.chip.layout import sizeof
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.scenario.memory_map import Region

KIB = 1024
ADDRESS_UNIT = 16


class DeviceLog:
    """`size` bytes at the end of the firmware's own memory.

    Where the next record goes follows from its sequence number, which counts from 0.
    """

    def __init__(self, memories: Memories, region: Region, size: int) -> None:
        self._memories = memories
        self.size = min(size, region.size)
        self.address = region.base + region.size - self.size
        self.memory = next(m for m in memories if m.base <= self.address < m.end)
        self.entries = self.size // sizeof(Entry)
        self.clear()

    @property
    def offset(self) -> int:
        """Where it starts in its memory, as drivers are told."""
        return self.address - self.memory.base

    @property
    def units(self) -> int:
        """Its length in units of 128 records."""
        return self.entries // ENTRIES_UNIT

    def clear(self) -> None:
        """Empties all records."""
        self._memories.write(self.address, bytes(self.size))

    def write(
        self,
        sequence: int,
        timestamp: int,
        level: Level,
        facility: Facility,
        text: str,
        operands: tuple[int, ...] = (),
    ) -> None:
        """Puts record number `sequence` in its place. `text` is a printf format of `operands`."""
        record = Entry(timestamp=timestamp, seqno=sequence, level=level, facility=facility)
        record.fmt = text.encode().ljust(FORMAT_BYTES, b"\0")[:FORMAT_BYTES]
        for i, operand in enumerate(operands[:PARAMS]):
            record.params[i] = operand
        place = self.address + sequence % self.entries * sizeof(Entry)
        self._memories.write(place, bytes(record))
