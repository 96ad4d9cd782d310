"""A device in memory, served by a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pyvfio_user
from pyvfio_user import pci

SIZE = 0x10000
DEADLINE = 0.3


class Device:
    """A region of plain memory at index 0, and what happened to the device."""

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
        place = slice(offset, offset + len(data))
        if is_write:
            self.memory[place] = data
        else:
            data[:] = self.memory[place]

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


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.fixture
def make_device(path: str) -> Iterator[Callable[[], Device]]:
    """Makes a device that is not served yet."""
    made: list[Device] = []

    def make() -> Device:
        made.append(Device(path))
        return made[-1]

    yield make
    for device in made:
        device.server.close()


@pytest.fixture
def device(make_device: Callable[[], Device]) -> Iterator[Device]:
    """A served device: memory of 64 KiB as region 0, eight MSI-X vectors."""
    device = make_device()
    device.server.region(0, SIZE, device.access, bits64=True)
    device.server.irqs(msix=8)
    with device.serving():
        yield device


@pytest.fixture
def client(device: Device) -> Iterator[pyvfio_user.Client]:
    with pyvfio_user.Client(device.path, deadline=10) as client:
        yield client
