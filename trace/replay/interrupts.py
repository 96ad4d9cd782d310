"""The interrupts that a replayed client gets: which vectors came, not how often, since how many
are joined depends on time."""

from __future__ import annotations

import contextlib
import os
from collections import Counter

from pyvfio_user import Client, IrqIndex, Refused
from vmcoredd.trace._cffi import lib
from vmcoredd.trace.records import Record

_INDEX = {lib.TRACE_MSIX: IrqIndex.MSIX, lib.TRACE_MSI: IrqIndex.MSI, lib.TRACE_INTX: IrqIndex.INTX}
_MOST = 256
"""Vectors of a kind at most: each takes a descriptor."""
Vector = tuple[int, int]
"""Kind and number."""


class Interrupts(contextlib.AbstractContextManager["Interrupts"]):
    """Listens to all vectors of a client's device."""

    def __init__(self, client: Client) -> None:
        self._fds: dict[Vector, int] = {}
        self._pending: Counter[Vector] = Counter()
        self._had: set[Vector] = set()
        for kind, index in _INDEX.items():
            if index < len(client.irqs):
                self._listen(client, kind, index)

    def _listen(self, client: Client, kind: int, index: IrqIndex) -> None:
        count = min(client.irqs[index].count, _MOST)
        fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count)]
        self._fds |= {(kind, vector): fd for vector, fd in enumerate(fds)}
        with contextlib.suppress(Refused):
            for start in range(0, count, _AT_ONCE):
                client.irq_eventfds(index, fds[start : start + _AT_ONCE], start)

    def __exit__(self, *_: object) -> None:
        for fd in self._fds.values():
            os.close(fd)

    def came(self, record: Record) -> bool:
        """Returns whether the vector of a record has come, as far as it was not asked for."""
        vector = (record.space, record.detail)
        fd = self._fds.get(vector)
        if fd is None:
            return False
        with contextlib.suppress(BlockingIOError):
            self._pending[vector] += os.eventfd_read(fd)
        if not self._pending[vector]:
            return False
        self._pending[vector] -= 1
        self._had.add(vector)
        return True

    def has_had(self, record: Record) -> bool:
        """Returns whether the vector of a record has come before."""
        return (record.space, record.detail) in self._had


_AT_ONCE = 8
"""Descriptors in one message, which QEMU and libvfio-user take too."""
