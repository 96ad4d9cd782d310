"""A device in memory, served by a thread of the test's process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pyvfio_user
from pyvfio_user import pci

SIZE = 0x10000
DEADLINE = 0.3


class Device:
    """A region of plain memory at index 0, and the events of the device."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.memory = bytearray(SIZE)
        self.events: list[object] = []
        self.clients_gone = threading.Semaphore(0)
        self.server = pyvfio_user.Server(path, deadline=DEADLINE)
        self.server.config_space(pci.header(0x1425, 0x6407, device_class=0x020000))
        self.server.on_reset = self.events.append
        self.server.on_dma_map = self.events.append
        self.server.on_dma_unmap = self.events.append
        self.server.on_client_gone = self.clients_gone.release

    def access(self, offset: int, data: memoryview, is_write: bool) -> None:
        span = slice(offset, offset + len(data))
        if is_write:
            self.memory[span] = data
        else:
            data[:] = self.memory[span]

    @contextlib.contextmanager
    def serving(self) -> Iterator[Device]:
        thread = threading.Thread(target=self.server.run)
        thread.start()
        try:
            yield self
        finally:
            self.server.stop()
            thread.join(10)
            assert not thread.is_alive()
