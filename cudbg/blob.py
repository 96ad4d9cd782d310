"""An entity's raw bytes, inflated piece by piece on demand."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from vmcoredd.cudbg.container import (
    LITTLE,
    PIECE_BYTES,
    PIECE_HEADER_BYTES,
    ZLIB_PIECE_ID,
    BigPieceHeader,
    Headers,
    PieceHeader,
)
from vmcoredd.cudbg.errors import DumpFormatError


class _Piece(NamedTuple):
    start: int  # in the raw bytes
    size: int
    packed: memoryview


class Blob:
    """Bytes of known length; a slice inflates only the pieces it overlaps."""

    def __init__(self, name: str, pieces: list[_Piece]) -> None:
        self.name = name
        self._pieces = pieces
        self._last: tuple[int, bytes] = (-1, b"")

    @classmethod
    def of_zlib(cls, name: str, data: memoryview, headers: Headers = LITTLE) -> Blob:
        """Wraps an entity of a compressed dump; raises DumpFormatError if it is not pieces."""
        return cls(name, list(_walk(name, data, headers)))

    def __len__(self) -> int:
        last = self._pieces[-1] if self._pieces else _Piece(0, 0, memoryview(b""))
        return last.start + last.size

    def __getitem__(self, part: slice) -> bytes:
        """Returns the bytes from `part.start` to `part.stop`; a step raises ValueError."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a slice of a Blob has no step")
        parts = []
        for index in range(start // PIECE_BYTES, -(-stop // PIECE_BYTES)):
            piece = self._pieces[index]
            parts.append(self._inflated(index)[max(start - piece.start, 0) : stop - piece.start])
        return b"".join(parts)

    def _inflated(self, index: int) -> bytes:
        if self._last[0] != index:
            self._last = (index, _inflate(self.name, self._pieces[index]))
        return self._last[1]


def _walk(name: str, data: memoryview, headers: Headers) -> Iterator[_Piece]:
    """Yields the consecutive pieces, of which only the last may be short."""
    offset = start = 0
    size = PIECE_BYTES
    while offset < len(data):
        if size != PIECE_BYTES:
            raise DumpFormatError(f"{name}: a piece of {size} bytes is not the last")
        header = _piece_header(name, data[offset : offset + PIECE_HEADER_BYTES], headers)
        offset += PIECE_HEADER_BYTES
        size = header.decompress_size
        packed = data[offset : offset + header.compress_size]
        if len(packed) < header.compress_size:
            raise DumpFormatError(f"{name}: piece at {start:#x}", header.compress_size, len(packed))
        yield _Piece(start, size, packed)
        offset += header.compress_size
        start += size


def _piece_header(name: str, data: memoryview, headers: Headers) -> PieceHeader | BigPieceHeader:
    if len(data) < PIECE_HEADER_BYTES:
        raise DumpFormatError(f"{name}: header of a piece", PIECE_HEADER_BYTES, len(data))
    header = headers.piece.from_bytes(data)
    if header.compress_id != ZLIB_PIECE_ID:
        raise DumpFormatError(
            f"{name}: a piece begins with {header.compress_id}, not {ZLIB_PIECE_ID}"
        )
    if not 0 < header.decompress_size <= PIECE_BYTES:
        raise DumpFormatError(f"{name}: a piece claims {header.decompress_size} bytes")
    return header


def _inflate(name: str, piece: _Piece) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(piece.packed, piece.size + 1)
    except zlib.error as error:
        raise DumpFormatError(f"{name}: piece at {piece.start:#x}: {error}") from error
    if len(raw) != piece.size or not unpacker.eof:
        raise DumpFormatError(f"{name}: piece at {piece.start:#x}", piece.size, len(raw))
    return raw
