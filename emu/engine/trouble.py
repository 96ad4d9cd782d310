"""What can go wrong in the packet engine, and how the emulator's log tells it."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from vmcoredd.emu._cffi import lib


class Kind(IntEnum):
    """`enum engine_trouble` of engine.h."""

    DMA_READ = lib.TROUBLE_DMA_READ
    DMA_WRITE = lib.TROUBLE_DMA_WRITE
    WORK_REQUEST = lib.TROUBLE_WORK_REQUEST
    DOORBELL = lib.TROUBLE_DOORBELL
    GTS = lib.TROUBLE_GTS
    INTERRUPT = lib.TROUBLE_INTERRUPT
    CAPTURE = lib.TROUBLE_CAPTURE
    WIRE = lib.TROUBLE_WIRE
    BUFFER = lib.TROUBLE_BUFFER


TEXTS = {
    Kind.DMA_READ: "queue {queue}: the host refuses a read of its memory at {what:#x}: {error}",
    Kind.DMA_WRITE: "queue {queue}: the host refuses a write to its memory at {what:#x}: {error}",
    Kind.WORK_REQUEST: "queue {queue}: a work request makes no sense: {what:#010x}",
    Kind.DOORBELL: "queue {queue}: a doorbell makes no sense: {what:#x}",
    Kind.GTS: "queue {queue}: a GTS write makes no sense: {what:#x}",
    Kind.INTERRUPT: "the host refuses vector {what}: {error}",
    Kind.CAPTURE: "port {queue}: the capture ends: {error}",
    Kind.WIRE: "port {queue}: its wire fails: {error}",
    Kind.BUFFER: "free list {queue}: a pointer to a buffer without a size: {what:#x}",
}


class Trouble(NamedTuple):
    """One event: the queue (or port) that met it, an address or value, and an errno or 0."""

    kind: Kind
    queue: int
    what: int
    error: int

    def __str__(self) -> str:
        text = os.strerror(abs(self.error)) if self.error else ""
        return TEXTS[self.kind].format(queue=self.queue, what=self.what, error=text)


Listener = Callable[[Trouble], None]
"""Hears of trouble; it runs in the middle of the engine's work, so it leaves queues alone."""
