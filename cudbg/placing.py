"""Bytes into the dump: where the next ones go, what fits, and what each entity's header says.

`Placer` is the kernel's arithmetic (cudbg_common.c, cudbg_zlib.c, cxgb4_cudbg_collect_entity()).
Only what the kernel writes is written: what a failed entity leaves behind stays until it is
overwritten, also in the reserved words of a piece's header.
"""

from __future__ import annotations

import zlib
from functools import cache

from vmcoredd.cudbg import status
from vmcoredd.cudbg.container import (
    COMPRESSION_NONE,
    COMPRESSION_ZLIB,
    DUMP_TYPE_MINI,
    ENTITY_HEADER_BYTES,
    HEADER_BYTES,
    HEADERS_BYTES,
    MAX_ENTITY,
    PIECE_BYTES,
    PIECE_HEADER_BYTES,
    SIGNATURE,
    VERSION,
    ZLIB_PIECE_ID,
    EntityHeader,
    Header,
    PieceHeader,
    entity_header_offset,
)
from vmcoredd.cudbg.errors import Status

_WINDOW_BITS = 12  # cudbg_zlib.h
_MEMORY_LEVEL = 4
_ZEROS = bytes(PIECE_BYTES)


class Placer:
    """A dump under construction in `buffer`, of which `limit` bytes may be used."""

    def __init__(self, buffer: memoryview, limit: int, chip_code: int, compress: bool) -> None:
        self.buffer, self.limit = buffer, limit
        self.offset = HEADERS_BYTES
        kind = COMPRESSION_ZLIB if compress else COMPRESSION_NONE
        self._header = Header.from_buffer(buffer[:HEADER_BYTES])
        self._header.signature = SIGNATURE
        self._header.hdr_len = HEADER_BYTES
        self._header.major_ver, self._header.minor_ver = VERSION
        self._header.max_entities = MAX_ENTITY
        self._header.chip_ver = chip_code
        self._header.types = DUMP_TYPE_MINI | kind << 4
        self._header.data_len = HEADERS_BYTES
        self._entity = EntityHeader()

    def begin(self, number: int) -> None:
        """The data of entity `number` begin here."""
        at = entity_header_offset(number)
        self._entity = EntityHeader.from_buffer(self.buffer[at : at + ENTITY_HEADER_BYTES])
        self._entity.entity_type = number
        self._entity.start_offset = self.offset

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """The entity is complete, or failed: then the next one begins where it began."""
        entity = self._entity
        if code:
            self.offset = entity.start_offset
        else:
            entity.num_pad = -(self.offset - entity.start_offset) % 4
            self.put(bytes(entity.num_pad))
            entity.size = self.offset - entity.start_offset
            self._header.data_len += entity.size
        entity.hdr_flags = status.SYSTEM_ERROR if sys_err else code
        entity.sys_err, entity.sys_warn = sys_err & 0xFFFFFFFF, sys_warn & 0xFFFFFFFF

    def put(self, data: bytes) -> None:
        """`data`, as far as there is room."""
        end = min(self.offset + len(data), len(self.buffer))
        self.buffer[self.offset : end] = data[: end - self.offset]
        self.offset = end

    def place(self, size: int, stream: bytes) -> None:
        """A piece of `size` bytes as its compressed `stream`; Status(-19) or (-29) when the dump is
        full."""
        end = self.offset + PIECE_HEADER_BYTES
        if end > self.limit:
            raise Status(status.NO_MEM)
        header = PieceHeader.from_buffer(self.buffer[self.offset : end])
        header.compress_id = ZLIB_PIECE_ID
        self.offset = end
        self.put(stream[: self.limit - end])
        if len(stream) > self.limit - end:
            raise Status(status.SYSTEM_ERROR)
        header.compress_size, header.decompress_size = len(stream), size


def pieces_of(size: int) -> list[tuple[int, int]]:
    """Where the pieces of `size` bytes begin and end: each is compressed by itself."""
    return [(at, min(at + PIECE_BYTES, size)) for at in range(0, size, PIECE_BYTES)]


def deflated(piece: memoryview) -> bytes:
    """One piece as a zlib stream, with the kernel's parameters."""
    raw = bytes(piece)
    return deflated_zeros(PIECE_BYTES) if raw == _ZEROS else _deflate(raw)


def most_deflated(size: int) -> int:
    """What `size` bytes can become at most, headers of their pieces included: zlib's own bound for
    these parameters (deflateBound() where the defaults are not used), taken once per piece."""
    pieces = -(-size // PIECE_BYTES)
    return size + (size >> 3) + (size >> 6) + pieces * (PIECE_HEADER_BYTES + 24)


@cache
def deflated_zeros(size: int) -> bytes:
    """So many zeros as a stream: most pieces of a young card's memory are zeros."""
    return _deflate(bytes(size))


def _deflate(piece: bytes) -> bytes:
    packer = zlib.compressobj(
        zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL
    )
    return packer.compress(piece) + packer.flush()
