"""The base class of entities, their registration, and the collectors' context."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.firmware import FwCommand
from vmcoredd.chip.layout import BigStruct, LittleStruct, sizeof
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.decoded import Bytes, Decoded
from vmcoredd.cudbg.errors import Code, Status, WrongSize
from vmcoredd.cudbg.remains import Remains, decode_in_part
from vmcoredd.hw.device import Device
from vmcoredd.hw.io import Io

_registered: dict[str, Entity] = {}

NOTHING_TRACED = "EMPTY: All {count} words are 0: the analyser has traced nothing."
NOTHING_WRITTEN = "NOT MEASURED: All {count} words are 0, also those that the driver writes itself."
"""Values of `Entity.all_zero`."""


class Stage(IntEnum):
    """When an entity is collected; within a stage, entities follow their numbers.

    This is the order of cxgb4_collect_hw_dump[] and cxgb4_collect_mem_dump[] (cxgb4_cudbg.c).
    """

    DRIVER = 0
    """Data that the driver keeps in the host's memory."""
    FIRMWARE = 1
    """The firmware's log, before the dump disturbs it."""
    HARDWARE = 2
    """Registers, tables and queues."""
    MEMORIES = 3
    """Whole memories: last, because they may fill the dump."""


class Context(Protocol):
    """Everything that a collector gets besides the registers."""

    device: Device

    def area(self, size: int) -> memoryview:
        """Returns the next `size` bytes of the dump, zeroed; raises Status(-19) if they do not fit.

        They are written when the collector returns or requests the next area. This is the kernel's
        cudbg_get_buff(): its position among the register accesses matters.
        """

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yields `size` bytes of a memory, in areas of one or more pieces of 64,512 bytes.

        Fill each area before requesting the next; several come as one if they certainly fit.
        """

    def zeros(self, size: int) -> None:
        """Adds `size` zeros in such pieces."""

    def warn(self, sys_warn: int) -> None:
        """Sets the `sys_warn` of the entity's header."""

    def ask(self, command: C) -> C:
        """Sends a command to the firmware and returns the reply; raises DeviceError if it fails."""


Measured: TypeAlias = int | Mapping[Chip, int] | None
"""A number for both chips, or one for each; None if it depends on the card."""


def per_chip(*, t5: int, t6: int) -> Mapping[Chip, int]:
    """Makes a `Measured` of different numbers for the two chips."""
    return MappingProxyType({T5: t5, T6: t6})


def measured(value: Measured, chip: Chip) -> int | None:
    """Returns the number for one chip."""
    return value[chip] if isinstance(value, Mapping) else value


class Entity:
    """One entity: its number, name and layout, how it is collected and decoded.

    One class may serve several entities: the decorator's `parameters` become attributes.
    """

    chips: ClassVar[Sequence[Chip] | None] = None
    """The chips that have the entity; None means all. On other chips, its status is -24."""
    optional: ClassVar[bool] = False
    """Whether some adapters whose chip is in `chips` lack it."""
    stage: ClassVar[Stage] = Stage.HARDWARE
    raw_bytes: ClassVar[Measured]
    """Its size. Every entity declares this and `accesses`; the tests compare both with a dump."""
    other_bytes: ClassVar[Mapping[Chip, int]] = MappingProxyType({})
    """Another size, which an older kernel or a running driver makes."""
    layouts: ClassVar[Sequence[type[LittleStruct | BigStruct]]] = ()
    """The structures that its bytes consist of, in their order; empty if they are bare words."""
    accesses: ClassVar[Measured]
    """The register accesses that the kernel's driver makes for it, counted on plain registers."""
    host_order: ClassVar[bool] = True
    """Whether its numbers are in the host's byte order. Else its bytes are as on the adapter."""
    explained_by: ClassVar[Sequence[str]] = ()
    """Other entities that help to decode this one: see `decode_with`."""

    entry_bytes: ClassVar[int] = 0
    """The size of its entries, if they are records that are shown one by one: see `cudbg.blank`."""
    entries_from: ClassVar[int] = 0
    """The offset of the first of them."""
    entry_reads: ClassVar[int] = 0
    """The offset in an entry of what is all ones only if the adapter did not answer to its end."""
    momentary: ClassVar[Kind | None] = None
    """Why it differs between two healthy cards of one type as a whole; None if it tells something,
    or its registers do: see `chip.momentary`."""
    of_host: ClassVar[Sequence[str] | None] = ()
    """The members of its only layout that the driver knew or computed with what it knew, and so are
    of the host and not of the card, or the registers of which `chip.momentary.HOSTS_BITS` are; None
    if all of the entity is."""
    all_zero: ClassVar[str] = ""
    """What is to be said instead of values if every byte is zero: `EMPTY: none of {count} ...`, or
    `NOT MEASURED: ...` where that is none. Empty if the zeros are values."""

    def __init__(self, number: int, name: str, parameters: dict[str, Any]) -> None:
        self.number, self.name = number, name
        for key, value in parameters.items():
            setattr(self, key, value)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        """Reads the device and fills areas, in the kernel's order of accesses.

        An uncaught DeviceError becomes the entity's `sys_err` (with the code -29); a Status
        expresses any other failure.
        """
        raise Status(Code.NOT_IMPLEMENTED)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        """Decodes the raw bytes; raises DumpFormatError if they cannot be this entity's,
        UnknownFormat if their layout is not known, and WrongSize if they are too few or too many:
        `Dump.decode` then decodes them in part."""
        raise NotImplementedError

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        """Decodes the raw bytes with the help of those of `explained_by`, by name: those that the
        dump holds intact."""
        return self.decode(blob, chip)

    def decode_remains(self, remains: Remains, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        """Decodes what is left of the raw bytes, or those of another size than is known; raises as
        `decode`, and DumpFormatError if nothing can be decoded."""
        return decode_in_part(lambda blob: self.decode_with(blob, others, chip), remains)

    def need(self, blob: Bytes, size: int) -> memoryview:
        """Returns all of `blob`; raises WrongSize unless it has exactly `size` bytes."""
        if len(blob) != size:
            raise WrongSize(self.name, size, len(blob))
        return memoryview(blob[0:size])

    def need_known(self, blob: Bytes, chip: Chip) -> memoryview:
        """Returns all of `blob`; raises WrongSize unless it has one of the entity's sizes."""
        if len(blob) == self.other_bytes.get(chip):
            return memoryview(blob[0 : len(blob)])
        return self.need(blob, measured(self.raw_bytes, chip) or len(blob))

    def need_records(self, blob: Bytes, size: int) -> None:
        """Raises WrongSize unless `blob` is one or more records of `size` bytes."""
        if not len(blob) or len(blob) % size:
            raise WrongSize(self.name, (len(blob) // size + 1) * size, len(blob))

    def parse(self, layout: type[S], blob: Bytes) -> S:
        """Returns `blob` as a structure; raises WrongSize if the sizes differ."""
        return layout.from_bytes(self.need(blob, sizeof(layout)))


C = TypeVar("C", bound=FwCommand)
E = TypeVar("E", bound=type[Entity])
S = TypeVar("S", bound=LittleStruct)


def entity(number: int, name: str, **parameters: Any) -> Callable[[E], E]:
    """Registers a class as entity `number`; one class may be registered several times."""

    def register(kind: E) -> E:
        for known in _registered.values():
            if number == known.number or name == known.name:
                raise ValueError(f"entity {number} {name}: {known.number} {known.name} exists")
        _registered[name] = kind(number, name, parameters)
        return kind

    return register


@cache
def entities() -> dict[str, Entity]:
    """Returns every entity by name, in the order of collection; imports all modules of
    `cudbg.entities`."""
    package = importlib.import_module("vmcoredd.cudbg.entities")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"vmcoredd.cudbg.entities.{module.name}")
    in_order = sorted(_registered.values(), key=lambda entity: (entity.stage, entity.number))
    return {entity.name: entity for entity in in_order}
