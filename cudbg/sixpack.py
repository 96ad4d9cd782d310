"""The pieces of an entity that FreeBSD's driver or the vendor's collector has compressed.

They write FastLZ's 6pack format, for each entity anew: a magic number, a chunk with size and name
of the file, and chunks of data with a checksum. All numbers are little-endian on every host.
Source: FastLZ's 6pack, FreeBSD's sys/dev/cxgbe/cudbg/fastlz_api.c.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from vmcoredd.chip.layout import LittleStruct, sizeof, u16, u32
from vmcoredd.cudbg.blob import Piece
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.fastlz import GROWTH, decompress
from vmcoredd.plural import exact

MAGIC = bytes([137, *b"6PK", 13, 10, 26, 10])
FILE_CHUNK, DATA_CHUNK = 1, 17
STORED, FASTLZ = 0, 1
_CHUNKS_MOST = 1 << 18
"""16 GiB in chunks of 63 KiB."""


class Chunk(LittleStruct):
    """The header of a chunk; `size` bytes follow. `extra` is their number once unpacked."""

    _fields_ = (("id", u16), ("options", u16), ("size", u32), ("checksum", u32), ("extra", u32))


def walk(name: str, data: memoryview) -> Iterator[Piece]:
    """Yields the pieces of entity `name`; raises DumpFormatError if `data` are not in 6pack."""
    if data[: len(MAGIC)] != MAGIC:
        begins = bytes(data[: len(MAGIC)]).hex(" ") or "nothing"
        raise DumpFormatError(f"{name}: begins with {begins}, not as FastLZ's files do")
    offset, start, claimed = len(MAGIC), 0, None
    for _ in range(_CHUNKS_MOST):
        if offset == len(data):
            break
        chunk, packed = _chunk(name, data, offset)
        offset += sizeof(Chunk) + chunk.size
        if chunk.id == FILE_CHUNK:
            claimed = _file_size(name, chunk, packed)
        elif chunk.id == DATA_CHUNK:
            yield _piece(name, chunk, packed, start)
            start += chunk.extra
    else:
        raise DumpFormatError(f"{name}: more than {_CHUNKS_MOST} chunks")
    if claimed is not None and claimed != start:
        raise DumpFormatError(f"{name}: file in FastLZ", claimed, start)


def _chunk(name: str, data: memoryview, offset: int) -> tuple[Chunk, memoryview]:
    head = data[offset : offset + sizeof(Chunk)]
    if len(head) < sizeof(Chunk):
        raise DumpFormatError(f"{name}: header of a chunk", sizeof(Chunk), len(head))
    chunk = Chunk.from_bytes(head)
    packed = data[offset + sizeof(Chunk) :][: chunk.size]
    if len(packed) < chunk.size:
        raise DumpFormatError(f"{name}: chunk at {offset:#x}", chunk.size, len(packed))
    return chunk, packed


def _file_size(name: str, chunk: Chunk, packed: memoryview) -> int:
    if chunk.size < 8 or zlib.adler32(packed) != chunk.checksum:
        raise DumpFormatError(f"{name}: the chunk that describes the file is damaged")
    return int.from_bytes(packed[:8], "little")


def _piece(name: str, chunk: Chunk, packed: memoryview, start: int) -> Piece:
    if chunk.options not in (STORED, FASTLZ):
        raise DumpFormatError(f"{name}: a chunk with options {chunk.options:#x}")
    most = chunk.size * (1 if chunk.options == STORED else GROWTH)
    if not 0 < chunk.extra <= most:
        raise DumpFormatError(
            f"{name}: a chunk of {exact(chunk.size, 'byte')} claims {chunk.extra}"
        )
    checksum, is_stored = chunk.checksum, chunk.options == STORED

    def unpack(packed: memoryview, size: int) -> bytes:
        if zlib.adler32(packed) != checksum:
            raise ValueError("its checksum is wrong")
        return bytes(packed) if is_stored else decompress(bytes(packed), size)

    return Piece(start, chunk.extra, packed, unpack)
