"""The slot: the card's removal, and what goes wrong between the card and its host.

A card that is removed answers nothing: reads of BARs and configuration space return all ones,
writes are lost, its links are down, and nothing of it reaches the host. When it is back
(`Card.undo()`), it is as after power-on, whatever it was before (`Card.power_on()`).

The other faults hold as long as they are on. What they have broken stays broken: a queue whose
memory the host has refused is halted, and one that waits for what never came goes on waiting.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, replace

from vmcoredd.chip.memory import MEMWIN0
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.silicon.arguments import number
from vmcoredd.emu.silicon.model import Model, fault

REMOVAL = "device-gone"
"""The fault that takes the card out of its slot."""
MILLISECOND = 1_000_000
"""Nanoseconds; also from one interrupt of a pair to the other."""


@dataclass(frozen=True)
class Broken:
    """What is wrong: whether the card is gone, the engine's `enum engine_breakage`, and by how many
    nanoseconds interrupts are late."""

    gone: bool = False
    engine: int = 0
    late: int = 0


class Slot(Model):
    """Whether the card is there, and how it reaches its host."""

    def make(self) -> None:
        self.broken = Broken()

    def save(self) -> Broken:
        return self.broken

    def load(self, saved: Broken) -> None:
        self.broken = saved
        self.core.c.gone = saved.gone
        engine = self.core.engine
        engine.c.broken, engine.c.late = saved.engine, saved.late
        if saved.gone:
            engine.allow(bus_master=False, intx=False, msi=False, msix=False, msix_masked=True)

    def _break(self, breakage: int, late: int = 0) -> None:
        broken = self.broken
        self.load(replace(broken, engine=broken.engine | breakage, late=late or broken.late))

    @fault(REMOVAL, "The slot is empty: reads get all ones, writes are lost, no DMA.")
    def remove(self) -> None:
        engine = self.core.engine
        self.load(replace(self.broken, gone=True))
        lib.engine_stop(engine.c, -1)
        for port in range(self.scenario.profile.ports.count):
            engine.enable_port(port, enabled=False)
        if engine.c.shared_doorbells != ffi.NULL:
            self._blank_page()

    def _blank_page(self) -> None:
        """Fills the page that clients map; what they write there is lost when the card returns."""
        first = MEMWIN0.base // mmap.PAGESIZE * mmap.PAGESIZE // 4
        words = self.core.bar0.words[first : first + mmap.PAGESIZE // 4]
        words[:] = memoryview(b"\xff" * words.nbytes).cast("I")

    @fault(
        "dma-{}-refused",
        "The host refuses the card's {} of its memory, as an IOMMU does: the queue halts.",
        each={"read": "reads", "write": "writes"},
    )
    def refuse_dma(self, which: str) -> None:
        self._break(lib.BREAKS_DMA_READ if which == "read" else lib.BREAKS_DMA_WRITE)

    @fault("interrupt-lost", "No interrupt reaches the host.")
    def lose_interrupts(self) -> None:
        self._break(lib.BREAKS_INTERRUPT_LOST)

    @fault(
        "interrupt-late",
        "Each interrupt reaches the host so much later.",
        takes=number("MS", "milliseconds", 500),
    )
    def delay_interrupts(self, milliseconds: int) -> None:
        self._break(lib.BREAKS_INTERRUPT_LATE, milliseconds * MILLISECOND)

    @fault("interrupt-twice", "Each interrupt comes a second time, a millisecond later.")
    def repeat_interrupts(self) -> None:
        self._break(lib.BREAKS_INTERRUPT_TWICE, self.broken.late or MILLISECOND)

    @fault(
        "send-completion-lost",
        "No driver hears how far its transmit queues are: neither status page nor egress update.",
    )
    def lose_sent(self) -> None:
        self._break(lib.BREAKS_SENT)

    @fault(
        "receive-completion-lost",
        "The response for a received frame is not written: its queue waits for it for ever.",
    )
    def lose_received(self) -> None:
        self._break(lib.BREAKS_RECEIVED)
