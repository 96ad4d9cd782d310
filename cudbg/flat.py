"""What a collector makes of an adapter all of whose reads are the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.cudbg.entity import C, Entity, Stage, entities, measured
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.hw.device import AdapterFlag, Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.flat import CountingIo, FlatIo

ONES, ZERO = 0xFF, 0x00


class _NoDump:
    """The context of a collector (`cudbg.entity.Context`) whose bytes go nowhere."""

    def __init__(self, device: Device) -> None:
        self.device, self.made = device, bytearray()

    def area(self, size: int) -> memoryview:
        self.made = bytearray(size)
        return memoryview(self.made)

    def pieces(self, size: int) -> Iterator[memoryview]:
        raise Status(Code.NOT_IMPLEMENTED)

    def zeros(self, size: int) -> None:
        raise Status(Code.NOT_IMPLEMENTED)

    def warn(self, sys_warn: int) -> None:
        pass

    def ask(self, command: C) -> C:
        raise Status(Code.NOT_IMPLEMENTED)


def _devices(chip: Chip) -> tuple[Device, Device]:
    """What two drivers know: words that differ come from the driver, not from the adapter."""
    return Device(chip, 0), Device(chip, 1, flags=AdapterFlag.FW_OK, cclk_khz=212_500)


@cache
def _made(byte: int, name: str, chip: Chip) -> tuple[memoryview, memoryview] | None:
    """Returns an entity's words that two drivers make of an adapter that reads as `byte` only; None
    if such an adapter has no such entity."""
    entity, made = entities().get(name), []
    if entity is None or entity.stage != Stage.HARDWARE or not measured(entity.raw_bytes, chip):
        return None
    for device in _devices(chip):
        context = _NoDump(device)
        try:
            entity.collect(FlatIo(byte), chip, context)
        except (Status, DeviceError):
            return None
        made.append(memoryview(bytes(context.made)))
    return made[0], made[1]


def made_of(byte: int, entity: Entity, data: bytes, chip: Chip) -> bytes | None:
    """Returns the bytes that all hold if the adapter read as `byte` only; those that the driver
    knows without it are as in `data`. None if the driver had made no such entity."""
    made = _made(byte, entity.name, chip)
    if made is None or len(data) > len(made[0]) or len(data) % WORD_BYTES:
        return None
    first, second = (part[: len(data)] for part in made)
    if first == second:
        return bytes(first)
    words = zip(first.cast("I"), second.cast("I"), memoryview(data).cast("I"), strict=True)
    chosen = (own if one != other else one for one, other, own in words)
    return b"".join(word.to_bytes(WORD_BYTES, "little") for word in chosen)


@cache
def read_order(name: str, chip: Chip) -> tuple[int, ...]:
    """Returns the places of an entity's words that are each as one was read, in the order of the
    reads; none if its collector fails where nothing answers."""
    entity = entities().get(name)
    if entity is None or not _made(ONES, name, chip):
        return ()
    context, io = _NoDump(Device(chip, 0)), CountingIo()
    try:
        entity.collect(io, chip, context)
    except (Status, DeviceError):
        return ()
    read = {io.number_of(word): i for i, word in enumerate(memoryview(context.made).cast("I"))}
    return tuple(read[number] for number in sorted(number for number in read if number >= 0))
