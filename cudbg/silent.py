"""What a collector makes of an adapter that does not answer, or whose reads are all 0; and in which
order it reads. It is found by running the collector on such an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.cudbg.entity import C, Entity, Stage, entities, measured
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.hw.device import AdapterFlag, Device
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Check, Counts, Op, Poll, Put, Rows, SingleIo, kept_bytes, table_of

ONES, ZERO = 0xFF, 0x00


class FlatIo(SingleIo):
    """An adapter, BAR0 and configuration space, of which every byte reads as `byte`.

    Writes do nothing. A poll that fails does so at once.
    """

    def __init__(self, byte: int) -> None:
        self._byte = bytes([byte])
        self.counts = Counts()

    @property
    def config(self) -> FlatIo:
        """Configuration space reads the same."""
        return self

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self._byte * width, "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        pass

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """Runs a program without going through its rows, which are all alike."""
        if not table_of(rows)[0]:
            return super().run(ops, rows, out)
        for op in ops:
            if isinstance(op, Poll | Check) and op.error and self.read(0) & op.mask != op.wanted:
                raise DeviceError(op.error, "every read is the same")
        if any(isinstance(op, Put) for op in ops):
            return super().run(ops, rows, out)
        size = kept_bytes(ops, rows)
        into = memoryview(bytearray(size)) if out is None else out[:size]
        into[:] = self._byte * size
        return into


class CountingIo(SingleIo):
    """An adapter whose every read returns another value, which tells the read's number."""

    _MARK = 0x5A00_0000

    def __init__(self) -> None:
        self._reads = 0
        self.counts = Counts()

    @property
    def config(self) -> CountingIo:
        """Configuration space counts on."""
        return self

    def read(self, offset: int, width: int = 4) -> int:
        self._reads += 1
        word = self._MARK + 2 * self._reads
        return word if width == WORD_BYTES else word + 1 << 32 | word

    def write(self, offset: int, value: int, width: int = 4) -> None:
        pass

    def number_of(self, word: int) -> int:
        """Returns where in the order a word was read; -1 if it was computed."""
        number = word - self._MARK
        return number if 2 <= number <= 2 * self._reads + 1 else -1


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
    """Returns what two drivers know: words that differ come from the driver, not the adapter."""
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
    knows without it are as in `data`. None if the driver would make no such entity."""
    made = _made(byte, entity.name, chip)
    if made is None or len(data) > len(made[0]) or len(data) % WORD_BYTES:
        return None
    first, second = (part[: len(data)] for part in made)
    if first == second:
        return bytes(first)
    words = zip(first.cast("I"), second.cast("I"), memoryview(data).cast("I"), strict=True)
    chosen = (own if one != other else one for one, other, own in words)
    return b"".join(word.to_bytes(WORD_BYTES, "little") for word in chosen)


class _Reads(NamedTuple):
    """Which of an entity's words depend on reads."""

    order: tuple[int, ...]
    """The places of those that are each as one was read, in the order of the reads."""
    depend: frozenset[int]
    """The places of these, and of those that are computed from reads."""


@cache
def _reads(name: str, chip: Chip) -> _Reads | None:
    """Returns None if a collector fails where nothing answers, or where reads are no values."""
    entity, made = entities().get(name), _made(ONES, name, chip)
    if entity is None or not made:
        return None
    context, io = _NoDump(Device(chip, 0)), CountingIo()
    try:
        entity.collect(io, chip, context)
    except (Status, DeviceError):
        return None
    words = memoryview(context.made).cast("I")
    read = {io.number_of(word): i for i, word in enumerate(words)}
    order = tuple(read[number] for number in sorted(number for number in read if number >= 0))
    pairs = enumerate(zip(words, made[0].cast("I"), strict=False))
    return _Reads(order, frozenset(i for i, (one, other) in pairs if one != other))


def read_order(name: str, chip: Chip) -> tuple[int, ...]:
    """Returns the places of an entity's words that are each as one was read, in the order of the
    reads; none if most of its words are computed, or if its collector fails where nothing
    answers."""
    reads = _reads(name, chip)
    return reads.order if reads and 2 * len(reads.order) > len(reads.depend) else ()


def depends_on_reads(name: str, place: int, chip: Chip) -> bool:
    """Returns whether a word is not one that the driver knows by itself; True if that is not
    known."""
    reads = _reads(name, chip)
    return reads is None or place in reads.depend
