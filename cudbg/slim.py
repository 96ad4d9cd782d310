"""Writes a dump again with some entities left out, and others with other bytes."""

from __future__ import annotations

from collections.abc import Mapping

from vmcoredd.cudbg.container import COMPRESSION_ZLIB, ENTITY_HEADER_BYTES, ZLIB_PIECE_ID
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.dump import Dump, DumpEntity
from vmcoredd.cudbg.dump_writer import deflated, pieces_of
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.left_out import Why, leave_out

_ALIGNMENT = 4
_NO_BYTES: Mapping[str, Bytes] = {}


def slimmed(
    dump: Dump, without: Mapping[str, Why], replaced: Mapping[str, Bytes] = _NO_BYTES
) -> bytearray:
    """Returns the dump without the data of some entities, which are marked; see `left_out`.

    `replaced` are other raw bytes of entities, by name. All other data are copied as they are, in
    the order of the entities' offsets. A damaged entity is left out too. Raises DumpFormatError if
    the headers are cut, and UnknownFormat if this version does not know the dump's format.
    """
    return _Slimmer(dump, without, replaced).written()


class _Slimmer:
    def __init__(
        self, dump: Dump, without: Mapping[str, Why], replaced: Mapping[str, Bytes]
    ) -> None:
        dump.check_format()
        self._dump, self._without, self._replaced = dump, without, replaced
        self._out = bytearray(dump.data[: dump.data_start])

    def written(self) -> bytearray:
        """Writes the entities behind the headers; the headers then say where they are."""
        for entity in sorted(self._dump.entities, key=lambda entity: entity.start):
            self._write(entity)
        header = self._dump.headers.dump.from_buffer(self._out, 0)
        header.data_len = len(self._out)
        return self._out

    def _write(self, entity: DumpEntity) -> None:
        start, padding = len(self._out), 0
        why = Why.DAMAGED if entity.is_misplaced else self._without.get(entity.name)
        if why is None and entity.good:
            try:
                self._out += self._data(entity.name)
            except DumpFormatError:
                why = Why.DAMAGED
            padding = -len(self._out) % _ALIGNMENT
            self._out += bytes(padding)
        self._describe(entity, why, start, padding)

    def _describe(self, entity: DumpEntity, why: Why | None, start: int, padding: int) -> None:
        end = len(self._out)
        at = self._dump.header.hdr_len + (entity.number - 1) * ENTITY_HEADER_BYTES
        headers = memoryview(self._out)[at : at + ENTITY_HEADER_BYTES]
        with headers:
            header = self._dump.headers.entity.from_bytes(headers)
            header.start_offset, header.size, header.num_pad = start, end - start, padding
            header.entity_type, header.next_ext_offset = entity.number, 0
            if why is not None and (entity.good or entity.is_misplaced):
                leave_out(header, why)
            headers[:] = bytes(header)

    def _data(self, name: str) -> bytes | memoryview:
        raw = self._replaced.get(name)
        if raw is None:
            return self._dump.packed(name)
        if self._dump.header.compress_type != COMPRESSION_ZLIB:
            return raw[:]
        return b"".join(self._piece(raw[start:end]) for start, end in pieces_of(len(raw)))

    def _piece(self, raw: bytes | memoryview) -> bytes:
        stream = deflated(memoryview(raw))
        header = self._dump.headers.piece()
        header.compress_id = ZLIB_PIECE_ID
        header.decompress_size, header.compress_size = len(raw), len(stream)
        return bytes(header) + stream
