"""Where collectors put their data: straight into the dump, or through a thread that compresses.

Compression must not wait for collection nor collection for compression. So a collector that asks
for an area is told at once whenever the answer is sure, though what was collected before may not be
compressed yet; it waits only when the dump is nearly full and the kernel's answer depends on how
well that compresses.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from cudbg import status
from cudbg.errors import Status
from cudbg.placing import Placer, deflated, deflated_zeros, most_deflated, pieces_of

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


class Compressing:
    """Areas are zeroed memory. Threads deflate their pieces, as many as there are cpus; one more
    puts the streams into the dump, in order."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self._jobs: deque[tuple[Callable[[], None], int]] = deque()
        self._backlog = 0  # bytes waiting for compression, the ones in work included
        self._ceiling = 0  # what they may become at most
        self._failed: BaseException | None = None
        self._changed = threading.Condition()
        self._done = False
        threads = min(len(os.sched_getaffinity(0)), _THREADS_MOST)
        self._deflating = ThreadPoolExecutor(threads, "deflate")
        self._thread = threading.Thread(target=self._work, name="place", daemon=True)
        self._thread.start()

    def begin(self, number: int) -> None:
        """As `Sink`."""
        self._queue(lambda: self._placer.begin(number), 0)

    def fits(self, size: int) -> bool:
        """As `Sink`."""
        with self._changed:
            return self._highest() + most_deflated(size) <= self._placer.limit

    def area(self, size: int) -> memoryview:
        """As `Sink`."""
        self._grant(size)
        return memoryview(bytearray(size))

    def commit(self, area: memoryview) -> None:
        """As `Sink`."""
        pieces = [area[start:end] for start, end in pieces_of(len(area))]
        streams = [self._deflating.submit(deflated, piece) for piece in pieces]
        self._place(len(area), lambda: (stream.result() for stream in streams))

    def zeros(self, size: int) -> None:
        """As `Sink`."""
        self._grant(size)
        spans = pieces_of(size)
        self._place(size, lambda: (deflated_zeros(end - start) for start, end in spans))

    def _grant(self, size: int) -> None:
        with self._changed:
            if self._highest() + size > self._placer.limit:
                self._drain()
            if size > _COMPRESS_BUFFER or self._placer.offset + size > self._placer.limit:
                raise Status(status.NO_MEM)
            self._changed.wait_for(lambda: not self._backlog or self._backlog + size <= _BACKLOG)

    def _place(self, size: int, streams: Callable[[], Iterable[bytes]]) -> None:
        """The streams of the pieces that `size` bytes are: now, if they may not fit."""

        def place() -> None:
            for (start, end), stream in zip(pieces_of(size), streams(), strict=True):
                self._placer.place(end - start, stream)

        if self.fits(size):
            self._queue(place, size)
            return
        with self._changed:
            self._drain()
        place()

    def end(self, code: int, sys_err: int, sys_warn: int) -> None:
        """As `Sink`."""
        self._queue(lambda: self._placer.end(code, sys_err, sys_warn), 0)

    def finish(self) -> None:
        """As `Sink`; what went wrong in the thread is raised here."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        self._thread.join()
        self._deflating.shutdown()
        if self._failed:
            raise self._failed

    def _highest(self) -> int:
        """The dump cannot become longer than this with all that waits."""
        return self._placer.offset + self._ceiling

    def _drain(self) -> None:
        self._changed.notify_all()
        self._changed.wait_for(lambda: not self._jobs or self._failed is not None)

    def _queue(self, job: Callable[[], None], size: int) -> None:
        with self._changed:
            self._jobs.append((job, size))
            self._backlog += size
            self._ceiling += most_deflated(size)
            if size:  # headers can wait for the next data
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._done)
                if not self._jobs:
                    return
                job, size = self._jobs[0]
            try:
                job()
            except Exception as error:  # noqa: BLE001 - raised again by finish()
                self._failed = error
            with self._changed:
                self._jobs.popleft()
                self._backlog -= size
                self._ceiling -= most_deflated(size)
                self._changed.notify_all()
