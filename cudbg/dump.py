"""Parses a dump: its header, its entities, their raw bytes, and their decoded content.

    dump = Dump(memoryview(note_payload))
    for entity in dump.entities: ...
    dump.decode("CIM_QCFG")

Nothing in a dump is trusted: sizes and offsets are checked against the buffer before use, and a
wrong one raises `DumpFormatError`. What is only unknown to this version is listed all the same, and
raises `UnknownFormat` where it should be decoded. Buffers may be longer than the dump (notes are
padded).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.chip.layout import WORD_BYTES, signed
from vmcoredd.cudbg import blank, sixpack
from vmcoredd.cudbg.blob import Blob, Piece, what_is_left, zlib_pieces
from vmcoredd.cudbg.container import (
    COMPRESSION_FASTLZ,
    COMPRESSION_ZLIB,
    ENTITY_HEADER_BYTES,
    HEADER_BYTES,
    Headers,
    headers_of,
)
from vmcoredd.cudbg.decoded import Bytes, Decoded
from vmcoredd.cudbg.entity import Entity, Stage
from vmcoredd.cudbg.errors import (
    CudbgError,
    DumpFormatError,
    UnknownFormat,
    WrongSize,
    unexpected_is_damage,
)
from vmcoredd.cudbg.foreign import decoders
from vmcoredd.cudbg.left_out import why_left_out
from vmcoredd.cudbg.names import EXT_ENTITY, names_of
from vmcoredd.cudbg.presence import NotFound, why_not_found
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.status import (
    Condition,
    condition_of,
    is_incomplete,
    reason_of,
    status_in_words,
    was_not_found,
)
from vmcoredd.cudbg.unknowns import (
    byte_order_unknown,
    chip_name,
    chip_unknown,
    compression_name,
    compression_unknown,
    format_unknown,
    generation,
    revision,
    unknowns,
    version_name,
)

_ENTITIES_MOST = 1024
"""More entity numbers than any version of the format has."""
_DECODED_MOST = 1 << 28
"""Bytes of an entity, memories excepted; a few packed bytes may claim more than any table has."""
_CHECKED_MOST = 4 << 20
"""Bytes of an entity that is unpacked to see whether it is damaged."""


class NoSuchEntity(CudbgError):
    """The dump has no good entity of that name."""


@dataclass(frozen=True)
class DumpEntity:
    """The contents of one entity's header."""

    number: int
    name: str
    kind: int
    """The number in its header; if it is not `number`, the header is damaged."""
    start: int
    size: int
    """Bytes from `start` on, including padding."""
    padding: int
    code: int
    """0, or the reason why the entity has no data."""
    sys_err: int
    sys_warn: int
    why_not_found: Callable[[str], NotFound] = field(repr=False, compare=False)
    left_out: str = ""
    """Why `slim` left its data out; empty if it did not."""

    @property
    def not_found(self) -> NotFound:
        """Whether the card has the entity, and why it was not found if its status is -24."""
        return self.why_not_found(self.name)

    @property
    def good(self) -> bool:
        """Whether it has data, though they may be damaged."""
        return self.code == 0

    @property
    def status(self) -> str:
        """The status in words."""
        if self.is_misplaced:
            return f"its header is that of entity {self.kind}"
        return self.left_out or status_in_words(self)

    @property
    def reason(self) -> str:
        """Why all or part of it is not in the dump; empty if it is good."""
        return self.status if self.is_misplaced or self.left_out else reason_of(self)

    @property
    def is_misplaced(self) -> bool:
        """Whether its header is another entity's, which is damage."""
        return self.kind != self.number

    @property
    def condition(self) -> Condition:
        """How much of the entity is in the dump."""
        if self.left_out:
            return Condition.LEFT_OUT
        return Condition.MISSING if self.is_misplaced else condition_of(self)

    @property
    def is_undecided(self) -> bool:
        """Whether the data do not tell if the adapter has it, which was not found."""
        return was_not_found(self) and self.not_found.has is None

    @property
    def is_incomplete(self) -> bool:
        """Whether the dump lacks all or part of it, though the adapter has it."""
        return not self.left_out and is_incomplete(self)

    def json(self) -> dict[str, int | str]:
        """Returns its header for programs; `size_bytes` is its size in the dump."""
        return {
            "number": self.number,
            "name": self.name,
            "code": self.code,
            "condition": str(self.condition),
            "status": self.status,
            "sys_err": self.sys_err,
            "sys_warn": self.sys_warn,
            "size_bytes": self.size,
        }


def is_dump(data: memoryview | bytes | bytearray) -> bool:
    """Returns whether `data` begins like a dump of this kind: a note may hold another driver's."""
    return headers_of(data) is not None


class Dump:
    """A dump in `data`, any buffer of bytes; raises DumpFormatError if it has no dump's header."""

    def __init__(self, data: memoryview | bytes | bytearray) -> None:
        self._data = memoryview(data).cast("B")
        self._unpacked: dict[str, bytes] = {}
        if len(self._data) < HEADER_BYTES:
            raise DumpFormatError("dump header", HEADER_BYTES, len(self._data))
        headers = headers_of(self._data)
        if headers is None:
            start = int.from_bytes(self._data[:4], "little")
            raise DumpFormatError(f"not a cudbg dump: signature {start:#x}")
        self._headers = headers
        self.header = headers.dump.from_bytes(self._data)
        with self._unknown_rather_than_damaged():
            if not HEADER_BYTES <= self.header.hdr_len <= len(self._data):
                raise DumpFormatError("dump header", self.header.hdr_len, len(self._data))
            if self.header.max_entities > _ENTITIES_MOST:
                what = f"dump header: {self.header.max_entities} entity numbers"
                raise DumpFormatError(f"{what}, at most {_ENTITIES_MOST} are possible")

    @property
    def data(self) -> memoryview:
        """The whole buffer, with the bytes after the dump's end."""
        return self._data

    @property
    def headers(self) -> Headers:
        """The layouts of its headers."""
        return self._headers

    @property
    def byte_order(self) -> str:
        """The byte order of the host that made the dump: `little` or `big`."""
        return self._headers.byte_order

    @property
    def version(self) -> str:
        """The version of the format: `1.14`."""
        return version_name(self.header)

    @property
    def compression(self) -> str:
        """`zlib`, `none`, `FastLZ` or, if it is not known, `type 5`."""
        return compression_name(self.header)

    @cached_property
    def chip(self) -> Chip:
        """The chip generation; raises UnknownFormat if this version does not know it."""
        _refuse(chip_unknown(self.header))
        return chip_of_device(generation(self.header) << 12)

    @property
    def chip_name(self) -> str:
        """The name of the chip generation, known or not: `T7`."""
        return chip_name(self.header)

    @property
    def revision(self) -> int | None:
        """The chip's revision; None if the dump does not tell it."""
        return revision(self.header)

    @property
    def adapter(self) -> str:
        """Chip and, if the dump tells it, revision: `T6 rev 0`."""
        return self.chip_name + ("" if self.revision is None else f" rev {self.revision}")

    @cached_property
    def unknowns(self) -> tuple[str, ...]:
        """What this version does not know of the dump, in words; empty if it knows everything."""
        return unknowns(self.header, self._headers)

    @property
    def cut(self) -> str:
        """What is missing if the data end in the headers; empty if nothing is, or if the format is
        unknown."""
        have = len(self._data)
        if self.data_start <= have or format_unknown(self.header):
            return ""
        return str(DumpFormatError("headers", self.data_start, have))

    def check_format(self) -> None:
        """Raises DumpFormatError if the headers are cut, UnknownFormat if the format's version is
        not known."""
        _refuse(format_unknown(self.header))
        if self.cut:
            raise DumpFormatError(self.cut)

    @property
    def data_start(self) -> int:
        """The offset of the first entity's data."""
        return int(self.header.hdr_len + self.header.max_entities * ENTITY_HEADER_BYTES)

    @cached_property
    def _overlaps(self) -> dict[str, str]:
        """What is wrong with entities that share bytes, by name: none does in an intact dump, and
        what is read stays within the size of the dump."""
        filled = [entity for entity in self.entities if entity.good and entity.size]
        filled.sort(key=lambda entity: (entity.start, entity.size))
        found = {
            entity.name: f"{following.name} begins inside it"
            for entity, following in pairwise(filled)
            if following.start < entity.start + entity.size
        }
        in_headers = (entity.name for entity in filled if entity.start < self.data_start)
        return found | dict.fromkeys(in_headers, "it begins in the headers")

    @cached_property
    def entities(self) -> tuple[DumpEntity, ...]:
        """Entities that were attempted, in the kernel's order; unknown numbers come last."""
        numbers = range(1, self.header.max_entities + 1)
        order = [
            *(n for n in self.names if n in numbers),
            *(n for n in numbers if n not in self.names),
        ]
        found = (self._entity(number) for number in order)
        return tuple(entity for entity in found if entity)

    @cached_property
    def names(self) -> dict[int, str]:
        """The published names of the numbers of this dump's entities, whether it has them or not.

        Those that the kernel collects come first, in its order.
        """
        return names_of(self.header)

    @property
    def end(self) -> int:
        """The size of the part of the data that the headers describe, in bytes. What a note holds
        behind it is unused."""
        return max([self.data_start, *(found.start + found.size for found in self.entities)])

    def lost(self, size: int) -> list[str]:
        """Returns the names of the entities that do not fit into the first `size` bytes: what a
        dump has lost that was cut there. Empty if the format is unknown."""
        if format_unknown(self.header):
            return []
        filled = (found for found in self.entities if found.good and found.size)
        return [found.name for found in filled if found.start + found.size > size]

    @property
    def bytes_for_conditions(self) -> int:
        """The size of the part of the data that the conditions of all entities need, in bytes."""
        undecided = any(found.is_undecided for found in self.entities)
        ends = [found.start + found.size for found in self.entities if found.name == "REG_DUMP"]
        return max([self.data_start, *ends]) if undecided else self.data_start

    def entity(self, name: str) -> DumpEntity:
        """Returns the entity, failed or not; raises NoSuchEntity if it was not attempted."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        if self.cut:
            raise DumpFormatError(f"{name}: {self.cut}")
        raise NoSuchEntity(f"{name} is not in the dump")

    def size(self, name: str) -> int:
        """Returns the number of raw bytes of an entity."""
        return len(self.blob(name))

    def checked_size(self, name: str) -> int | None:
        """Returns the number of raw bytes of an entity; None if it is not known how to unpack them.

        Raises DumpFormatError if they are damaged, which only a memory is not searched for.
        """
        try:
            blob = self.blob(name)
            if len(blob) <= _CHECKED_MOST:
                blob[:]
            return len(blob)
        except UnknownFormat:
            return None

    def blob(self, name: str) -> Bytes:
        """Returns an entity's raw bytes, inflated on demand; raises UnknownFormat if they cannot
        be unpacked."""
        data = self.packed(name)
        with self._unknown_rather_than_damaged():
            pieces = self._pieces(name, data)
            return data if pieces is None else Blob(name, pieces)

    def _pieces(self, name: str, data: memoryview) -> Iterator[Piece] | None:
        """Yields an entity's packed pieces, as far as they can be told apart; None if it is not
        compressed."""
        _refuse(compression_unknown(self.header))
        if self.header.compress_type == COMPRESSION_ZLIB:
            return zlib_pieces(name, data, self._headers)
        if self.header.compress_type == COMPRESSION_FASTLZ and name != self.names[EXT_ENTITY]:
            return sixpack.walk(name, data)
        return None

    def remains(self, name: str) -> Remains:
        """Returns what is left of an entity's raw bytes: all of them if it is intact.

        Raises NoSuchEntity, UnknownFormat, and DumpFormatError if it cannot be found.
        """
        try:
            blob = self.blob(name)
            return Remains(name, [(0, blob[0 : len(blob)])], len(blob))
        except UnknownFormat:
            raise
        except DumpFormatError:
            return self._what_is_left(name)

    def _what_is_left(self, name: str) -> Remains:
        data, size = self._packed(name, cut=True)
        pieces = self._pieces(name, data)
        if pieces is None:
            return Remains(name, [(0, data)], size)
        return what_is_left(name, pieces)

    def packed(self, name: str) -> memoryview:
        """Returns an entity's bytes as they are in the dump, compressed or not."""
        return self._packed(name)[0]

    def _packed(self, name: str, *, cut: bool = False) -> tuple[memoryview, int]:
        """Returns an entity's bytes and their number, which may be greater if they may be cut."""
        entity = self._good(name)
        with self._unknown_rather_than_damaged():
            if entity.is_misplaced:
                raise DumpFormatError(f"{name}: {entity.status}")
            data, size = self._data[entity.start :], entity.size - entity.padding
            if (len(data) < entity.size and not cut) or entity.padding > min(3, entity.size):
                raise DumpFormatError(name, entity.size, min(len(data), entity.size))
            if overlap := self._overlaps.get(name):
                raise DumpFormatError(f"{name}: {overlap}")
            return data[:size], size

    @contextmanager
    def _unknown_rather_than_damaged(self) -> Iterator[None]:
        """Raises UnknownFormat instead of DumpFormatError for a version of the format that is not
        known: its headers may be others, and nothing damaged."""
        try:
            yield
        except DumpFormatError:
            _refuse(format_unknown(self.header))
            raise

    def raw(self, name: str) -> bytes:
        """Returns all of an entity's raw bytes."""
        return bytes(self.blob(name)[:])

    def decode(self, name: str) -> Decoded:
        """Decodes an entity; raises NoSuchEntity if it is missing, and UnknownFormat if this
        version does not know how.

        One of another size than is known is decoded in part, and so says the first part. Whatever
        a decoder does not expect in its data is a DumpFormatError of that entity: `decode_remains`
        decodes what is left of it.
        """
        blob, entity, chip = self.blob(name), self.decoder(name), self.chip
        if len(blob) > _DECODED_MOST and entity.stage != Stage.MEMORIES:
            raise DumpFormatError(f"{name}: {len(blob)} bytes are too many to decode")
        others = self._explanations(entity)
        with unexpected_is_damage(name):
            try:
                return blank.decoded(entity, blob, others, self._later(name), chip)
            except WrongSize:
                remains = Remains(name, [(0, blob)], len(blob))
                return blank.decoded_remains(entity, remains, others, chip)

    def not_measured(self, name: str) -> str:
        """Returns what of an entity was not measured, since the adapter did not answer; empty if
        all was. Raises as `decode`."""
        entity, blob = self.decoder(name), self.blob(name)
        return blank.not_measured(entity, blob, self._later(name), self.chip)

    def decode_remains(self, name: str) -> Decoded:
        """Decodes what is left of a damaged entity, and so says the first part.

        Raises DumpFormatError if nothing is left, or if nothing is missing; else as `decode`.
        """
        remains, entity, chip = self.remains(name), self.decoder(name), self.chip
        if not remains.held:
            raise DumpFormatError(f"{name}: none of it is left")
        if remains.held == remains.size and not remains.is_open:
            raise DumpFormatError(f"{name}: all of it is left: use decode()")
        with unexpected_is_damage(name):
            return blank.decoded_remains(entity, remains, self._explanations(entity), chip)

    def decoder(self, name: str) -> Entity:
        """Returns what decodes an entity of this dump; raises UnknownFormat if nothing does."""
        _refuse(format_unknown(self.header))
        entity, chip = decoders().get(name), self.chip
        if entity is None:
            raise UnknownFormat(f"{name}: this version does not decode it")
        if entity.chips is not None and chip not in entity.chips:
            raise UnknownFormat(f"{name}: none is known on a {chip!r}")
        if entity.host_order:
            _refuse(byte_order_unknown(self._headers))
        return entity

    def _explanations(self, entity: Entity) -> dict[str, Bytes]:
        """Returns the raw bytes of the entities that explain this one, as far as they can be
        read: a damaged one explains nothing."""
        found: dict[str, Bytes] = {}
        if self.byte_order == "little":
            for name in entity.explained_by:
                with suppress(DumpFormatError, NoSuchEntity):
                    found[name] = self._explanation(name)
        return found

    def _explanation(self, name: str) -> bytes:
        """Returns an entity's raw bytes, unpacked once; raises as `raw`."""
        if name not in self._unpacked:
            self._unpacked[name] = self.raw(name)
        return self._unpacked[name]

    def _later(self, name: str) -> Iterator[tuple[Entity, Bytes | None]]:
        """Yields the entities that were collected after one (`cudbg.loss.Later`), as far as they
        can be read."""
        names = [entity.name for entity in self.entities]
        for found in self.entities[names.index(name) + 1 :]:
            with suppress(DumpFormatError, UnknownFormat):
                if found.good:
                    yield self.decoder(found.name), self.blob(found.name)
                elif found.is_incomplete:
                    yield self.decoder(found.name), None

    def _good(self, name: str) -> DumpEntity:
        entity = self.entity(name)
        if not entity.good:
            raise NoSuchEntity(f"{name} is not in the dump: {entity.reason}")
        return entity

    def _entity(self, number: int) -> DumpEntity | None:
        """Reads an entity's header; returns None if it was never written or is cut off."""
        at = self.header.hdr_len + (number - 1) * ENTITY_HEADER_BYTES
        if at + ENTITY_HEADER_BYTES > len(self._data):
            return None
        header = self._headers.entity.from_bytes(self._data[at : at + ENTITY_HEADER_BYTES])
        if not header.entity_type:
            return None
        return DumpEntity(
            number=number,
            kind=header.entity_type,
            name=self.names.get(number, f"entity {number}"),
            start=header.start_offset,
            size=header.size,
            padding=header.num_pad,
            code=header.hdr_flags,
            sys_err=signed(header.sys_err),
            sys_warn=signed(header.sys_warn),
            why_not_found=self._why_not_found,
            left_out=why_left_out(header),
        )

    def _why_not_found(self, name: str) -> NotFound:
        try:
            chip = self.chip
        except UnknownFormat:
            return why_not_found(name, None, lambda name: None)
        return why_not_found(name, chip, self._register)

    def _register(self, name: str) -> int | None:
        """Returns the value of a register in REG_DUMP, if the dump holds it."""
        at = int(self.chip.r[name])
        try:
            word = self.blob("REG_DUMP")[at : at + WORD_BYTES]
        except CudbgError:
            return None
        return int.from_bytes(word, self._headers.byte_order) if len(word) == WORD_BYTES else None


def _refuse(reason: str) -> None:
    """Raises UnknownFormat unless the reason is empty."""
    if reason:
        raise UnknownFormat(reason)
