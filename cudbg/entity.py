"""The base of an entity, its registration, and what its collector is given."""

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
from vmcoredd.chip.layout import LittleStruct, sizeof
from vmcoredd.cudbg.decoded import Bytes, Decoded
from vmcoredd.cudbg.errors import Code, DumpFormatError, Status
from vmcoredd.hw.device import Device
from vmcoredd.hw.io import Io

_registered: dict[str, Entity] = {}


class Stage(IntEnum):
    """When an entity is collected; within a stage, entities follow their numbers.

    This is the order of cxgb4_collect_hw_dump[] and cxgb4_collect_mem_dump[] (cxgb4_cudbg.c).
    """

    DRIVER = 0
    """What the driver itself holds in the host's memory."""
    FIRMWARE = 1
    """The firmware's log, before the dump disturbs it."""
    HARDWARE = 2
    """Registers, tables and queues."""
    MEMORIES = 3
    """Whole memories: last, because they may fill the dump."""


class Context(Protocol):
    """What a collector is given besides the registers."""

    device: Device

    def area(self, size: int) -> memoryview:
        """Room for the next `size` bytes, zeroed; Status(-19) if the dump has not that much left.

        What is put there is written out when the collector returns, or asks for the next area.
        The kernel's cudbg_get_buff(): its place among the register accesses matters.
        """

    def pieces(self, size: int) -> Iterator[memoryview]:
        """`size` bytes in pieces of 64,512, for memories: an area for each, or for several that
        surely fit. Each comes when the one before has been filled."""

    def zeros(self, size: int) -> None:
        """`size` zeros in such pieces."""

    def warn(self, sys_warn: int) -> None:
        """Sets the `sys_warn` of the entity's header."""

    def ask(self, command: C) -> C:
        """A command to the firmware and its reply; DeviceError if there is none, or an error."""


Measured: TypeAlias = int | Mapping[Chip, int] | None
"""A number, the same for both chips or one for each; None: it depends on the card."""


def per_chip(*, t5: int, t6: int) -> Mapping[Chip, int]:
    """Different numbers for the two chips."""
    return MappingProxyType({T5: t5, T6: t6})


class Entity:
    """One entity: number, name, layout, how it is collected, how it is decoded.

    `parameters` of the decorator become attributes, so that one class may serve several entities.
    """

    chips: ClassVar[Sequence[Chip] | None] = None
    """The chips that have it; None: all. On others its status is -24."""
    stage: ClassVar[Stage] = Stage.HARDWARE
    raw_bytes: ClassVar[Measured]
    """Its size; every entity declares it, and `accesses`. The tests compare both."""
    accesses: ClassVar[Measured]
    """How many register accesses the kernel's driver makes for it."""
    explained_by: ClassVar[str] = ""
    """Another entity, which says more of this one's bytes: see `decode_with`."""

    def __init__(self, number: int, name: str, parameters: dict[str, Any]) -> None:
        self.number, self.name = number, name
        for key, value in parameters.items():
            setattr(self, key, value)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        """Reads the device and fills areas, in the kernel's order of accesses.

        A DeviceError that escapes becomes the entity's `sys_err` (and its code -29); a Status says
        anything else.
        """
        raise Status(Code.NOT_IMPLEMENTED)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        """The raw bytes in words; DumpFormatError if they cannot be this entity's."""
        raise NotImplementedError

    def decode_with(self, blob: Bytes, explanation: Bytes, chip: Chip) -> Decoded:
        """As `decode`, where the dump holds `explained_by`, too."""
        raise NotImplementedError

    def need(self, blob: Bytes, size: int) -> memoryview:
        """All of `blob`, which must be exactly `size` bytes."""
        if len(blob) != size:
            raise DumpFormatError(self.name, size, len(blob))
        return memoryview(blob[0:size])

    def need_records(self, blob: Bytes, size: int) -> None:
        """`blob` must be one or more records of `size` bytes."""
        if not len(blob) or len(blob) % size:
            raise DumpFormatError(f"{self.name}: {len(blob)} bytes are not records of {size}")

    def parse(self, layout: type[S], blob: Bytes) -> S:
        """`blob` as a structure of exactly its size."""
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
    """Every entity by name, in the order of collection; imports all modules of
    `cudbg.entities`."""
    package = importlib.import_module("vmcoredd.cudbg.entities")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"vmcoredd.cudbg.entities.{module.name}")
    in_order = sorted(_registered.values(), key=lambda entity: (entity.stage, entity.number))
    return {entity.name: entity for entity in in_order}
