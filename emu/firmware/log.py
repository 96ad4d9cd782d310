"""The device log, a ring of records in adapter memory, and the firmware's messages at boot."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.devlog import ENTRIES_UNIT, FORMAT_BYTES, PARAMS, DevlogEntry, Facility, Level
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.pci import PFS
from vmcoredd.emu.flash import version
from vmcoredd.emu.memory import Memories, Memory
from vmcoredd.emu.scenario import Scenario
from vmcoredd.emu.scenario.memory_map import PlacedRegion

KIB = 1024


class DeviceLog:
    """The last `size` bytes of the firmware's own memory.

    A record's sequence number, which counts from 0, determines its position.
    """

    def __init__(self, memories: Memories, region: PlacedRegion, size: int) -> None:
        self._memories = memories
        self.size = min(size, region.size)
        self.address = region.base + region.size - self.size
        self.memory = next(m for m in memories if m.base <= self.address < m.end)
        self.entries = self.size // sizeof(DevlogEntry)
        self._memories.write(self.address, bytes(self.size))

    def place(self, memory: Memory, offset: int, size: int) -> None:
        """Moves the log: it is `size` bytes at an offset of a memory, which hold it already."""
        self.memory, self.address, self.size = memory, memory.base + offset, size
        self.entries = max(size // sizeof(DevlogEntry), 1)

    @property
    def placed(self) -> tuple[int, int, int]:
        """Where it is: its memory's number, its offset there, its size."""
        return self.memory.type.number, self.offset, self.size

    def put(self, placed: tuple[int, int, int]) -> None:
        """Moves the log to where `placed` says that it was."""
        number, offset, size = placed
        memory = next(memory for memory in self._memories if memory.type.number == number)
        self.place(memory, offset, size)

    @property
    def offset(self) -> int:
        """Its byte offset in its memory."""
        return self.address - self.memory.base

    def holds(self, memory: Memory, offset: int) -> bool:
        """Returns whether a byte of a memory belongs to the log."""
        return memory is self.memory and self.offset <= offset < self.offset + self.size

    @property
    def units(self) -> int:
        """Its length in units of 128 records."""
        return self.entries // ENTRIES_UNIT

    def write(
        self,
        sequence: int,
        timestamp: int,
        level: Level,
        facility: Facility,
        text: str,
        operands: tuple[int, ...] = (),
    ) -> None:
        """Writes record number `sequence`. `text` is a printf format for `operands`, without the
        newline that ends it in the log."""
        record = DevlogEntry(timestamp=timestamp, seqno=sequence, level=level, facility=facility)
        record.fmt = f"{text}\n".encode().ljust(FORMAT_BYTES, b"\0")
        for i, operand in enumerate(operands[:PARAMS]):
            record.params[i] = operand
        self._memories.write(self._address(sequence), bytes(record))

    def read(self, sequence: int) -> bytes:
        """Returns the bytes of record number `sequence`, if a later one has not replaced it."""
        return self._memories.read(self._address(sequence), sizeof(DevlogEntry))

    def _address(self, sequence: int) -> int:
        return self.address + sequence % self.entries * sizeof(DevlogEntry)


Message = tuple[Facility, str, *tuple[int, ...]]
"""Facility, printf format, operands."""


def boot_messages(scenario: Scenario, memories: Memories) -> Iterator[Message]:
    """Yields the messages that the firmware logs before the first command."""
    profile = scenario.profile
    yield Facility.CORE, "firmware 0x%08x starting", version(profile.firmware.version)
    yield Facility.CORE, "core clock %u kHz", profile.card.core_clock
    for i, memory in enumerate(memories):
        yield Facility.HW, "memory %u: 0x%08x, %u KiB", i, memory.base, memory.size >> 10
    for i, region in enumerate(scenario.memory_map):
        yield Facility.RES, "region %u: 0x%08x, %u bytes", i, region.base, region.size
    yield Facility.CF, "configuration file %u read from flash", profile.vpd.config_version
    for pf, function in enumerate(scenario.queues.functions[:PFS]):
        egress, ingress = function.egress_count, function.ingress_count
        yield Facility.RES, "PF%u: %u egress queues, %u ingress queues", pf, egress, ingress
    for port, module in enumerate(scenario.transceivers):
        if module:
            yield Facility.PORT, "port %u: module of type %u inserted", port, int(module.kind)
        if scenario.crashed:
            yield Facility.PORT, "port %u: link up, %u Gbps", port, profile.ports.speed
