"""Parses a dump: its header, its entities, their raw bytes, and their decoded content.

    dump = Dump(memoryview(note_payload))
    for entity in dump.entities: ...
    dump.decode("CIM_QCFG")

Nothing in a dump is trusted: sizes and offsets are checked against the buffer before use, and a
wrong one raises `DumpFormatError`. Buffers may be longer than the dump (notes are padded).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.chip.layout import signed
from vmcoredd.cudbg.blob import Blob
from vmcoredd.cudbg.container import (
    COMPRESSION_NONE,
    COMPRESSION_ZLIB,
    ENTITY_HEADER_BYTES,
    HEADER_BYTES,
    SIGNATURE,
    EntityHeader,
    Header,
)
from vmcoredd.cudbg.decoded import Bytes, Decoded
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.cudbg.errors import CudbgError, DumpFormatError, unexpected_is_damage
from vmcoredd.cudbg.status import Condition, condition_of, is_incomplete, status_in_words

_ENTITIES_MOST = 1024
"""More entity numbers than any version of the format has."""
_DECODED_MOST = 1 << 28
"""Bytes of an entity, memories excepted; a few packed bytes may claim more than any table has."""


class NoSuchEntity(CudbgError):
    """The dump has no good entity of that name."""


@dataclass(frozen=True)
class DumpEntity:
    """The contents of one entity's header."""

    number: int
    name: str
    start: int
    size: int
    """Bytes from `start` on, including padding."""
    padding: int
    code: int
    """0, or the reason why the entity has no data."""
    sys_err: int
    sys_warn: int

    @property
    def good(self) -> bool:
        """Whether it has data."""
        return self.code == 0

    @property
    def status(self) -> str:
        """The status in words."""
        return status_in_words(self)

    @property
    def condition(self) -> Condition:
        """How much of the entity is in the dump."""
        return condition_of(self)

    @property
    def is_incomplete(self) -> bool:
        """Whether the dump lacks all or part of it, though the adapter has it."""
        return is_incomplete(self)


def is_dump(data: memoryview | bytes | bytearray) -> bool:
    """Whether `data` begins like a dump of this kind; a note may hold another driver's dump."""
    start = bytes(data[:4])
    return len(start) == 4 and int.from_bytes(start, "little") == SIGNATURE


class Dump:
    """A dump in `data`, any buffer of bytes; raises DumpFormatError if it has no dump's header."""

    def __init__(self, data: memoryview | bytes | bytearray) -> None:
        self._data = memoryview(data).cast("B")
        if len(self._data) < HEADER_BYTES:
            raise DumpFormatError("dump header", HEADER_BYTES, len(self._data))
        self.header = Header.from_bytes(self._data)
        if self.header.signature != SIGNATURE:
            raise DumpFormatError(f"not a cudbg dump: signature {self.header.signature:#x}")
        if not HEADER_BYTES <= self.header.hdr_len <= len(self._data):
            raise DumpFormatError("dump header", self.header.hdr_len, len(self._data))
        if self.header.max_entities > _ENTITIES_MOST:
            raise DumpFormatError(f"dump of {self.header.max_entities} entity numbers")

    @property
    def compressed(self) -> bool:
        """Whether the data are zlib pieces; raises DumpFormatError for an unknown compression."""
        kind = self.header.compress_type
        if kind not in (COMPRESSION_NONE, COMPRESSION_ZLIB):
            raise DumpFormatError(f"unknown compression {kind}")
        return kind == COMPRESSION_ZLIB

    @cached_property
    def chip(self) -> Chip:
        """The chip generation; raises DumpFormatError if it is unknown."""
        try:
            return chip_of_device(self.header.chip_ver >> 4 << 12)
        except ValueError as error:
            raise DumpFormatError(
                f"chip {self.header.chip_ver:#x}: neither a T5 nor a T6"
            ) from error

    @property
    def revision(self) -> int:
        """The chip's revision."""
        return int(self.header.chip_ver & 0xF)

    @cached_property
    def entities(self) -> tuple[DumpEntity, ...]:
        """Entities that were attempted, in the kernel's order; unknown numbers come last."""
        names = {known.number: known.name for known in entities().values()}
        numbers = range(1, self.header.max_entities + 1)
        order = [*(n for n in names if n in numbers), *(n for n in numbers if n not in names)]
        found = (self._entity(number, names.get(number, f"entity {number}")) for number in order)
        return tuple(entity for entity in found if entity)

    def entity(self, name: str) -> DumpEntity:
        """Returns the entity, failed or not; raises NoSuchEntity if it was not attempted."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise NoSuchEntity(f"{name} is not in the dump")

    def size(self, name: str) -> int:
        """Returns the number of raw bytes of an entity."""
        return len(self.blob(name))

    def blob(self, name: str) -> Bytes:
        """Returns an entity's raw bytes, inflated on demand."""
        entity = self._good(name)
        data = self._data[entity.start : entity.start + entity.size]
        if len(data) < entity.size or entity.padding > min(3, entity.size):
            raise DumpFormatError(name, entity.size, len(data))
        data = data[: entity.size - entity.padding]
        return Blob.of_zlib(name, data) if self.compressed else data

    def raw(self, name: str) -> bytes:
        """Returns all of an entity's raw bytes."""
        return bytes(self.blob(name)[:])

    def decode(self, name: str) -> Decoded:
        """Decodes an entity; raises NoSuchEntity if it is missing or has no decoder.

        Whatever a decoder does not expect in its data is a DumpFormatError of that entity.
        """
        with unexpected_is_damage(name):
            return self._decode(name)

    def _decode(self, name: str) -> Decoded:
        blob = self.blob(name)
        entity = entities().get(name)
        if entity is None:
            raise NoSuchEntity(f"{name} has no decoder")
        if entity.chips is not None and self.chip not in entity.chips:
            raise DumpFormatError(f"{name}: a {self.chip!r} has none")
        if len(blob) > _DECODED_MOST and entity.stage != Stage.MEMORIES:
            raise DumpFormatError(f"{name}: {len(blob)} bytes are too many to decode")
        if entity.explained_by in self._names:
            return entity.decode_with(blob, self.blob(entity.explained_by), self.chip)
        return entity.decode(blob, self.chip)

    @cached_property
    def _names(self) -> set[str]:
        """The names of entities that have data."""
        return {entity.name for entity in self.entities if entity.good}

    def _good(self, name: str) -> DumpEntity:
        entity = self.entity(name)
        if not entity.good:
            raise NoSuchEntity(f"{name} is not in the dump: {entity.status}")
        return entity

    def _entity(self, number: int, name: str) -> DumpEntity | None:
        """Reads its header; None if it was never written, or the file ends before it."""
        at = self.header.hdr_len + (number - 1) * ENTITY_HEADER_BYTES
        if at + ENTITY_HEADER_BYTES > len(self._data):
            return None
        header = EntityHeader.from_bytes(self._data[at : at + ENTITY_HEADER_BYTES])
        if header.entity_type != number:
            return None
        return DumpEntity(
            number=number,
            name=name,
            start=header.start_offset,
            size=header.size,
            padding=header.num_pad,
            code=header.hdr_flags,
            sys_err=signed(header.sys_err),
            sys_warn=signed(header.sys_warn),
        )
