"""Writes the dump: headers, offsets and limits, and the threads that compress.

The arithmetic is the kernel's (cudbg_common.c, cudbg_zlib.c, cxgb4_cudbg_collect_entity()), and
every byte is the same. For example, data of a failed entity remain until they are overwritten, even
in the reserved words of a piece's header.

Compression must not wait for collection, nor collection for compression. So a request for an area
is granted or refused at once whenever the result is certain, even if earlier data are still
uncompressed. The collector waits only when the dump is nearly full, because the kernel's result
then depends on how well those data compress.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, Protocol

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
from vmcoredd.cudbg.errors import Code, Status

_WINDOW_BITS = 12  # cudbg_zlib.h
_MEMORY_LEVEL = 4
_ZEROS = bytes(PIECE_BYTES)
_COMPRESS_BUFFER = 4 << 20
"""The largest area that a collector can get if its data are to be compressed
(CUDBG_COMPRESS_BUFF_SIZE)."""
_BACKLOG = 4 << 20
"""Bytes that may wait for compression."""
_THREADS_MOST = 8


class DumpWriter:
    """A dump under construction in the first `limit` bytes of `buffer`."""

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
        """Begins the data of entity `number`."""
        at = entity_header_offset(number)
        self._entity = EntityHeader.from_buffer(self.buffer[at : at + ENTITY_HEADER_BYTES])
        self._entity.entity_type = number
        self._entity.start_offset = self.offset

    def again(self, granted: int = 0) -> None:
        """Forgets the entity's data: zeroes them, up to the offset `granted` at least."""
        start = self._entity.start_offset
        size = min(max(self.offset, granted), len(self.buffer)) - start
        self.buffer[start : start + size] = bytes(size)
        self.offset = start

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """Completes the entity; if it failed, the next one starts at the same offset."""
        entity = self._entity
        if code:
            self.offset = entity.start_offset
        else:
            entity.num_pad = -(self.offset - entity.start_offset) % 4
            self.put(bytes(entity.num_pad))
            entity.size = self.offset - entity.start_offset
            self._header.data_len += entity.size
        entity.hdr_flags = Code.SYSTEM_ERROR if sys_err else code
        entity.sys_err, entity.sys_warn = sys_err & 0xFFFFFFFF, sys_warn & 0xFFFFFFFF

    def put(self, data: bytes) -> None:
        """Writes as much of `data` as fits."""
        end = min(self.offset + len(data), len(self.buffer))
        self.buffer[self.offset : end] = data[: end - self.offset]
        self.offset = end

    def put_piece(self, size: int, stream: bytes) -> None:
        """Writes a piece of `size` bytes as compressed `stream`; Status(-19) or (-29) if full."""
        end = self.offset + PIECE_HEADER_BYTES
        if end > self.limit:
            raise Status(Code.NO_MEM)
        header = PieceHeader.from_buffer(self.buffer[self.offset : end])
        header.compress_id = ZLIB_PIECE_ID
        self.offset = end
        self.put(stream[: self.limit - end])
        if len(stream) > self.limit - end:
            raise Status(Code.SYSTEM_ERROR)
        header.compress_size, header.decompress_size = len(stream), size


def pieces_of(size: int) -> list[tuple[int, int]]:
    """Returns start and end of each piece of `size` bytes; pieces are compressed separately."""
    return [(at, min(at + PIECE_BYTES, size)) for at in range(0, size, PIECE_BYTES)]


def deflated(piece: memoryview) -> bytes:
    """Returns one piece as a zlib stream, made with the kernel's parameters."""
    raw = bytes(piece)
    return deflated_zeros(PIECE_BYTES) if raw == _ZEROS else _deflate(raw)


def most_deflated(size: int) -> int:
    """Returns the maximum compressed size of `size` bytes, including the headers of pieces: zlib's
    bound for these parameters (deflateBound() without the defaults), once per piece."""
    pieces = -(-size // PIECE_BYTES)
    return size + (size >> 3) + (size >> 6) + pieces * (PIECE_HEADER_BYTES + 24)


@cache
def deflated_zeros(size: int) -> bytes:
    """Returns `size` zeros as a stream; most pieces of a new card's memory are zeros."""
    return _deflate(bytes(size))


def _deflate(piece: bytes) -> bytes:
    packer = zlib.compressobj(
        zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL
    )
    return packer.compress(piece) + packer.flush()


class Sink(Protocol):
    """Takes entities one by one, each in areas."""

    def begin(self, number: int) -> None:
        """Begins the next entity."""

    def fits(self, size: int) -> bool:
        """Returns whether areas of `size` bytes in total are certain to be granted and written."""

    def area(self, size: int) -> memoryview:
        """Grants an area to fill (cudbg_get_buff()); raises Status(-19) if there is no room."""

    def zeros(self, size: int) -> None:
        """Adds an area of zeros."""

    def commit(self, area: memoryview) -> None:
        """Writes a filled area (cudbg_write_and_release_buff())."""

    def again(self) -> None:
        """Begins the entity again, without its data so far."""

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """Completes the entity (code 0), or fails it."""

    def finish(self) -> None:
        """Waits until everything is written."""


class Direct:
    """Writes uncompressed data: areas are parts of the dump and show the bytes already there."""

    def __init__(self, writer: DumpWriter) -> None:
        self._writer = writer
        self._touched = self._granted = writer.offset  # beyond these, the buffer is still zero
        self.begin, self.end = writer.begin, writer.end

    def fits(self, size: int) -> bool:
        """See `Sink`."""
        return self._writer.offset + size <= self._writer.limit

    def area(self, size: int) -> memoryview:
        """See `Sink`."""
        if not self.fits(size):
            raise Status(Code.NO_MEM)
        end = self._writer.offset + size
        self._touched, self._granted = self._granted, max(self._granted, end)
        return self._writer.buffer[self._writer.offset : end]

    def zeros(self, size: int) -> None:
        """See `Sink`."""
        area = self.area(size)
        touched = min(max(self._touched - self._writer.offset, 0), size)
        area[:touched] = bytes(touched)
        self.commit(area)

    def commit(self, area: memoryview) -> None:
        """See `Sink`."""
        self._writer.offset += len(area)

    def again(self) -> None:
        """See `Sink`."""
        self._writer.again(self._granted)

    def finish(self) -> None:
        """See `Sink`."""


class _Job(NamedTuple):
    """A step of writing: `do` needs the results of `waits_for`."""

    do: Callable[[], None]
    size: int = 0
    waits_for: Sequence[Future[bytes]] = ()


class Compressing:
    """Writes compressed data. Areas are zeroed memory, and one thread per CPU deflates their
    pieces. Each call of the collector writes the streams that are ready, in order."""

    def __init__(self, writer: DumpWriter) -> None:
        self._writer = writer
        self._jobs: deque[_Job] = deque()
        self._backlog = 0  # bytes not yet written, including those being compressed
        self._ceiling = 0  # their maximum size once compressed
        threads = min(len(os.sched_getaffinity(0)), _THREADS_MOST)
        self._deflating = ThreadPoolExecutor(threads, "deflate")

    def begin(self, number: int) -> None:
        """See `Sink`."""
        self._queue(_Job(lambda: self._writer.begin(number)))

    def fits(self, size: int) -> bool:
        """See `Sink`."""
        return self._highest() + most_deflated(size) <= self._writer.limit

    def area(self, size: int) -> memoryview:
        """See `Sink`."""
        self._grant(size)
        return memoryview(bytearray(size))

    def commit(self, area: memoryview) -> None:
        """See `Sink`."""
        pieces = [area[start:end] for start, end in pieces_of(len(area))]
        self._write(len(area), [self._deflating.submit(deflated, piece) for piece in pieces])

    def zeros(self, size: int) -> None:
        """See `Sink`."""
        self._grant(size)
        self._write(size, [])

    def again(self) -> None:
        """See `Sink`."""
        self._queue(_Job(self._writer.again))

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """See `Sink`."""
        self._queue(_Job(lambda: self._writer.end(code, sys_err, sys_warn)))

    def finish(self) -> None:
        """See `Sink`."""
        with self._deflating:
            self._drain()

    def _grant(self, size: int) -> None:
        if self._highest() + size > self._writer.limit:
            self._drain()
        if size > _COMPRESS_BUFFER or self._writer.offset + size > self._writer.limit:
            raise Status(Code.NO_MEM)
        while self._backlog and self._backlog + size > _BACKLOG:
            self._next()

    def _write(self, size: int, streams: Sequence[Future[bytes]]) -> None:
        """Writes the streams of `size` bytes (or zeros), at once if they may not fit."""

        def write() -> None:
            for i, (start, end) in enumerate(pieces_of(size)):
                stream = streams[i].result() if streams else deflated_zeros(end - start)
                self._writer.put_piece(end - start, stream)

        if self.fits(size):
            self._queue(_Job(write, size, streams))
        else:
            self._drain()
            write()

    def _highest(self) -> int:
        """Returns the greatest offset that the dump can have once all jobs are done."""
        return self._writer.offset + self._ceiling

    def _queue(self, job: _Job) -> None:
        self._jobs.append(job)
        self._backlog += job.size
        self._ceiling += most_deflated(job.size)
        while self._jobs and all(stream.done() for stream in self._jobs[0].waits_for):
            self._next()

    def _drain(self) -> None:
        while self._jobs:
            self._next()

    def _next(self) -> None:
        job = self._jobs.popleft()
        job.do()
        self._backlog -= job.size
        self._ceiling -= most_deflated(job.size)
