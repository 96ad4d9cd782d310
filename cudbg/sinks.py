"""Where collectors put their data: straight into the dump, or through threads that compress.

Compression must not wait for collection nor collection for compression. So a collector that asks
for an area is told at once whenever the answer is sure, though what was collected before may not be
compressed yet; it waits only when the dump is nearly full and the kernel's answer depends on how
well that compresses.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

from vmcoredd.cudbg import status
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.placing import Placer, deflated, deflated_zeros, most_deflated, pieces_of

_COMPRESS_BUFFER = 4 << 20
"""A collector may ask for no more at once, if its data are to be compressed
(CUDBG_COMPRESS_BUFF_SIZE)."""
_BACKLOG = 4 << 20
"""Bytes that may wait for compression."""
_THREADS_MOST = 8


class Sink(Protocol):
    """Takes the entities one after the other, each in areas."""

    def begin(self, number: int) -> None:
        """The next entity."""

    def fits(self, size: int) -> bool:
        """Whether areas of `size` bytes in all are sure to be granted and written."""

    def area(self, size: int) -> memoryview:
        """The kernel's cudbg_get_buff(): Status(-19) if there is no room."""

    def zeros(self, size: int) -> None:
        """An area of zeros, granted and filled."""

    def commit(self, area: memoryview) -> None:
        """The area is filled: the kernel's cudbg_write_and_release_buff()."""

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """The entity is complete (code 0), or failed."""

    def finish(self) -> None:
        """Waits until everything is in its place."""


class Direct:
    """Uncompressed: areas are parts of the dump itself, with what happens to stand there."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self._touched = self._granted = placer.offset  # what lies behind is as zero as it came
        self.begin, self.end = placer.begin, placer.end

    def fits(self, size: int) -> bool:
        """As `Sink`."""
        return self._placer.offset + size <= self._placer.limit

    def area(self, size: int) -> memoryview:
        """As `Sink`."""
        if not self.fits(size):
            raise Status(status.NO_MEM)
        end = self._placer.offset + size
        self._touched, self._granted = self._granted, max(self._granted, end)
        return self._placer.buffer[self._placer.offset : end]

    def zeros(self, size: int) -> None:
        """As `Sink`."""
        area = self.area(size)
        touched = min(max(self._touched - self._placer.offset, 0), size)
        area[:touched] = bytes(touched)
        self.commit(area)

    def commit(self, area: memoryview) -> None:
        """As `Sink`."""
        self._placer.offset += len(area)

    def finish(self) -> None:
        """As `Sink`."""


class _Job(NamedTuple):
    """What is put into the dump when its turn comes: `do` waits for what `waits_for` gives."""

    do: Callable[[], None]
    size: int = 0
    waits_for: Sequence[Future[bytes]] = ()


class Compressing:
    """Areas are zeroed memory. Threads deflate their pieces, as many as there are cpus; streams are
    put into the dump in order, whenever the collector comes by and they are ready."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self._jobs: deque[_Job] = deque()
        self._backlog = 0  # bytes waiting for compression, the ones in work included
        self._ceiling = 0  # what they may become at most
        threads = min(len(os.sched_getaffinity(0)), _THREADS_MOST)
        self._deflating = ThreadPoolExecutor(threads, "deflate")

    def begin(self, number: int) -> None:
        """As `Sink`."""
        self._queue(_Job(lambda: self._placer.begin(number)))

    def fits(self, size: int) -> bool:
        """As `Sink`."""
        return self._highest() + most_deflated(size) <= self._placer.limit

    def area(self, size: int) -> memoryview:
        """As `Sink`."""
        self._grant(size)
        return memoryview(bytearray(size))

    def commit(self, area: memoryview) -> None:
        """As `Sink`."""
        pieces = [area[start:end] for start, end in pieces_of(len(area))]
        self._place(len(area), [self._deflating.submit(deflated, piece) for piece in pieces])

    def zeros(self, size: int) -> None:
        """As `Sink`."""
        self._grant(size)
        self._place(size, [])

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """As `Sink`."""
        self._queue(_Job(lambda: self._placer.end(code, sys_err, sys_warn)))

    def finish(self) -> None:
        """As `Sink`."""
        with self._deflating:
            self._drain()

    def _grant(self, size: int) -> None:
        if self._highest() + size > self._placer.limit:
            self._drain()
        if size > _COMPRESS_BUFFER or self._placer.offset + size > self._placer.limit:
            raise Status(status.NO_MEM)
        while self._backlog and self._backlog + size > _BACKLOG:
            self._next()

    def _place(self, size: int, streams: Sequence[Future[bytes]]) -> None:
        """The streams of `size` bytes (zeros, if there are none): at once, if they may not fit."""

        def place() -> None:
            for i, (start, end) in enumerate(pieces_of(size)):
                stream = streams[i].result() if streams else deflated_zeros(end - start)
                self._placer.place(end - start, stream)

        if self.fits(size):
            self._queue(_Job(place, size, streams))
        else:
            self._drain()
            place()

    def _highest(self) -> int:
        """The dump cannot become longer than this with all that waits."""
        return self._placer.offset + self._ceiling

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
