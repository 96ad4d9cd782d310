"""A host in this process for a card's packet engine, which counts what it is asked for."""

from __future__ import annotations

import errno
from typing import Any

from vmcoredd.chip import pci
from vmcoredd.chip.pci import Cap
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import ffi

COMMAND, MASTER, INTX_DISABLE = 4, 0x4, 0x400
PM_CONTROL = pci.CAP_AT[Cap.PM] + 4
MSI_CONTROL, MSI_ENABLE = pci.CAP_AT[Cap.MSI] + 2, 0x0001
MSIX_CONTROL, ENABLE, FUNCTION_MASK = pci.CAP_AT[Cap.MSIX] + 2, 0x8000, 0x4000


class Listener:
    """A host without memory that gets the vectors it listens to."""

    def __init__(self, *vectors: int) -> None:
        self.listens = set(vectors)
        self.got: list[int] = []
        self._functions = {
            "irq": ffi.callback("int(void *, uint32_t)", self._interrupt),
            "dma_read": ffi.callback("int(void *, uint64_t, void *, uint64_t)", self._refuse),
            "dma_write": ffi.callback(
                "int(void *, uint64_t, const void *, uint64_t)", self._refuse
            ),
        }
        self._host = ffi.new("struct host *", self._functions)
        self.address = int(ffi.cast("uintptr_t", self._host))

    def _interrupt(self, _cookie: Any, vector: int) -> int:
        if vector not in self.listens:
            return -errno.ENOENT
        self.got.append(vector)
        return 0

    def _refuse(self, *_: Any) -> int:
        return -errno.ENOENT


def put(card: Card, offset: int, value: int) -> None:
    """Writes a half word of configuration space."""
    card.config_write(offset, value.to_bytes(2, "little"))


def plug(card: Card, host: Listener) -> None:
    """Attaches a card to a host that lets it access memory and interrupt."""
    card.engine.attach(host.address)
    put(card, COMMAND, MASTER)
    put(card, MSIX_CONTROL, ENABLE)
