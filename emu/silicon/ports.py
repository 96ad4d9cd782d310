"""The ports: how many there are, their buffers, and what the MACs counted."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.memory import PageCounts
from vmcoredd.emu.scenario.traffic import Direction, PortTraffic
from vmcoredd.emu.silicon.model import Model

SIZE_CLASSES = (
    "64B",
    "65B_127B",
    "128B_255B",
    "256B_511B",
    "512B_1023B",
    "1024B_1518B",
    "1519B_MAX",
)
"""The counters of emu.scenario.traffic.SIZES."""
PAGES = 256
"""Buffer pages of each group."""


class NetworkPorts(Model):
    """Registers of the packet switch (MPS) that tell of its ports."""

    def wire(self) -> None:
        count = self.scenario.profile.ports.count
        register = self.r.MPS_CMN_CTL
        self.words.plain(register, register.of(NumPorts=(count - 1).bit_length()))
        for pages in (self.chip.memory.port_pages, self.chip.memory.loopback_pages):
            self._pages(pages)
        for port, traffic in enumerate(self.scenario.traffic.ports):
            self._addresses(port)
            for name, value in _counters(traffic):
                self._count(name, port, value)

    def _pages(self, pages: PageCounts) -> None:
        random = self.scenario.random(pages.register)
        register = self.r[pages.register]
        space, first = self.words.where(register)
        for group in range(pages.words):
            used = {pages.used: random.randrange(PAGES // 8), pages.allocated: PAGES}
            space.words[first + group] = register.of(**used)

    def _addresses(self, port: int) -> None:
        """The address the port sends pause frames from."""
        mac = int.from_bytes(self.scenario.identity.mac(port), "big")
        self.words.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_L, mac & 0xFFFFFFFF, port)
        self.words.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_H, mac >> 32, port)

    def _count(self, name: str, port: int, value: int) -> None:
        """A counter of 64 bits is two registers."""
        self.words.set(self.r[f"MPS_PORT_STAT_{name}_L"], value & 0xFFFFFFFF, port)
        self.words.set(self.r[f"MPS_PORT_STAT_{name}_H"], value >> 32, port)


def _counters(traffic: PortTraffic) -> Iterator[tuple[str, int]]:
    yield from _both("TX_PORT", traffic.sent)
    yield "TX_PORT_ERROR", traffic.sent.errors
    yield "TX_PORT_DROP", traffic.sent.drops
    yield from _both("RX_PORT", traffic.received)
    yield "RX_PORT_CRC_ERROR", traffic.received.errors


def _both(prefix: str, way: Direction) -> Iterator[tuple[str, int]]:
    yield f"{prefix}_BYTES", way.octets
    yield f"{prefix}_FRAMES", way.frames
    yield f"{prefix}_BCAST", way.broadcast
    yield f"{prefix}_MCAST", way.multicast
    yield f"{prefix}_UCAST", way.unicast
    yield f"{prefix}_PAUSE", way.pauses
    for size, frames in zip(SIZE_CLASSES, way.by_size, strict=True):
        yield f"{prefix}_{size}", frames
