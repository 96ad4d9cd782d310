"""Takes records out of a ring and writes them to a file, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from vmcoredd.trace.archive import Writer
from vmcoredd.trace.records import DMA_CARRIED, lost_record
from vmcoredd.trace.ring import RING_BYTES, Ring

log = logging.getLogger("trace")

LOOK_SECONDS = 0.02
"""How often the thread looks for records."""
KEEP_SECONDS = 0.5
"""How long records may wait for more before they are written: what a killed recorder loses."""
PIECE_BYTES = 4 << 20
"""Records that are written at once. Compressing them takes a processor from the card, so it waits
for KEEP_SECONDS, or until half of the ring is full: a dump takes less, and less time."""


NICE = 10
"""The priority of the thread: the card comes first, where both share a processor. Not lower, since
what waits for Python's lock waits for this thread, too."""


class Recorder:
    """Records what is put into `ring` to a new file until `stop()`.

    `on_failure` is called, by the thread, when the file cannot be written: then nothing should be
    put into the ring any more. The constructor raises TraceExists and OSError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        on_failure: Callable[[OSError], None] = lambda _: None,
        force: bool = False,
        ring_bytes: int = RING_BYTES,
        dma_carried: int = DMA_CARRIED,
    ) -> None:
        self.ring = Ring(ring_bytes, dma_carried)
        self.failure: OSError | None = None
        """Why the trace ended before it was stopped."""
        self._writer = Writer(path, header, force=force)
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes what is in the ring, and completes the file. Nothing may be put in any more."""
        self.ring.settle()
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        enough = self.ring.size // 2
        waited = 0.0
        try:
            while not self._stopping.wait(LOOK_SECONDS):
                waited += LOOK_SECONDS
                if self.ring.ready_bytes >= enough or waited >= KEEP_SECONDS:
                    self._write()
                    waited = 0.0
            self._write()
            self._tell_lost()
            self._writer.finish({"events": self.ring.events, "lost": self.ring.lost})
        except OSError as error:
            self._fail(error)

    def _write(self) -> None:
        for piece in self.ring.take(PIECE_BYTES):
            self._writer.add(piece)

    def _tell_lost(self) -> None:
        """Adds the record of what was lost at the end, behind which the ring has none."""
        if lost := self.ring.untold:
            self._writer.add(lost_record(time.monotonic_ns(), lost).packed())

    def _fail(self, error: OSError) -> None:
        self.failure = error
        log.error("%s: %s; the trace ends here", self._writer.path, error.strerror or error)
        self._on_failure(error)
        self._writer.abandon()
