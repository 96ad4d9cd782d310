"""An entity's raw bytes, unpacked piece by piece on demand."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
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
from vmcoredd.cudbg.remains import Remains
from vmcoredd.plural import exact


class Piece(NamedTuple):
    """A part of an entity that is packed on its own."""

    start: int
    """Its offset in the raw bytes."""
    size: int
    """Of its raw bytes, at least one."""
    packed: memoryview
    unpack: Callable[[memoryview, int], bytes]
    """Returns the raw bytes of `packed`, which should be `size`; raises ValueError."""
    is_cut: bool = False
    """Whether the end of `packed` is missing."""


class Blob:
    """Bytes of known length; a slice unpacks only the pieces it overlaps.

    A piece that equals the last one is not unpacked again: most of a memory is zeros.
    """

    def __init__(self, name: str, pieces: Iterable[Piece]) -> None:
        """Takes all pieces; raises DumpFormatError if they cannot be told apart."""
        self.name = name
        self._pieces = list(pieces)
        self._starts = [piece.start for piece in self._pieces]
        self._last: tuple[Piece | None, bytes] = (None, b"")

    def __len__(self) -> int:
        if not self._pieces:
            return 0
        last = self._pieces[-1]
        return last.start + last.size

    def __getitem__(self, part: slice) -> bytes:
        """Returns the bytes from `part.start` to `part.stop`; a step raises ValueError."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a slice of a Blob has no step")
        parts = []
        index = bisect_right(self._starts, start) - 1
        while start < stop:
            piece = self._pieces[index]
            parts.append(self._unpacked(piece)[start - piece.start : stop - piece.start])
            start, index = piece.start + piece.size, index + 1
        return b"".join(parts)

    def _unpacked(self, piece: Piece) -> bytes:
        last, raw = self._last
        if last is not piece:
            raw = raw if last and last[1:] == piece[1:] else _unpacked(self.name, piece)
            self._last = (piece, raw)
        return raw


def _unpacked(name: str, piece: Piece) -> bytes:
    try:
        raw = piece.unpack(piece.packed, piece.size)
    except ValueError as error:
        raise DumpFormatError(f"{name}: piece at {piece.start:#x}: {error}") from error
    if len(raw) != piece.size:
        raise DumpFormatError(f"{name}: piece at {piece.start:#x}", piece.size, len(raw))
    return raw


def what_is_left(name: str, pieces: Iterable[Piece]) -> Remains:
    """Unpacks the pieces that are intact, as far as they can be told apart."""
    parts, size = [], 0
    try:
        for piece in pieces:
            size = piece.start + piece.size
            raw = _start_of(piece) if piece.is_cut else _intact(name, piece)
            if raw:
                parts.append((piece.start, raw))
    except DumpFormatError:
        return Remains(name, parts, size, is_open=True)
    return Remains(name, parts, size)


def _intact(name: str, piece: Piece) -> bytes:
    with suppress(DumpFormatError):
        return _unpacked(name, piece)
    return b""


def _start_of(piece: Piece) -> bytes:
    """Returns the raw bytes of a zlib stream whose end is missing."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(piece.packed, piece.size)
    return b""


def zlib_pieces(name: str, data: memoryview, headers: Headers = LITTLE) -> Iterator[Piece]:
    """Yields the consecutive pieces of entity `name`, of which only the last may be short; raises
    DumpFormatError where they cannot be told apart, after the piece that is cut there."""
    offset = start = 0
    size = PIECE_BYTES
    while offset < len(data):
        if size != PIECE_BYTES:
            raise DumpFormatError(f"{name}: a piece of {exact(size, 'byte')} is not the last")
        header = _piece_header(name, data[offset : offset + PIECE_HEADER_BYTES], headers)
        offset += PIECE_HEADER_BYTES
        size = header.decompress_size
        packed = data[offset : offset + header.compress_size]
        if len(packed) < header.compress_size:
            yield Piece(start, size, packed, _inflate, is_cut=True)
            raise DumpFormatError(f"{name}: piece at {start:#x}", header.compress_size, len(packed))
        yield Piece(start, size, packed, _inflate)
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
        raise DumpFormatError(f"{name}: a piece claims {exact(header.decompress_size, 'byte')}")
    return header


def _inflate(packed: memoryview, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(raw) == size and not unpacker.eof:
        raise ValueError("its stream does not end with it")
    return raw
