"""The regions of adapter memory, whose bounds MEMINFO reads from registers.

On a real card the firmware's configuration file determines them. The shares here are assumed, but
follow the driver's rules (cudbg_lib.c): contexts lie in order in EDC0, payload only where there is
room, and no two regions have the same base (sorting them would not be stable). The names are those
of `chip.memory.REGIONS`, plus two for the firmware's own memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmcoredd.emu.errors import ModelError
from vmcoredd.emu.memory import Memories, Memory
from vmcoredd.emu.profile import Profile

ALIGN = 0x1000
SHARES = 64
"""A region's share of a memory is in 1/64ths."""

ON_CHIP = (
    ("DBVFIFO region", 4),
    ("DBQ contexts", 6),
    ("IMSG contexts", 6),
    ("FLM cache", 4),
    ("Timers", 8),
    ("Rx FL", 8),
    ("Tx FL", 8),
    ("Pstruct FL", 4),
    ("ULPRX state", 4),
    ("ULPTX state", 4),
    ("LE hash", 8),
)
"""In EDC0. The doorbell FIFO is first because the driver shifts its base (BASEADDR_G)."""

FIRMWARE = (("uP RAM", 40), ("uP Extmem2", 8))
"""In EDC1."""

EXTERNAL = (
    ("TCBs", 12),
    ("Pstructs", 4),
    ("Tx payload", 8),
    ("Rx payload", 8),
    ("iSCSI region", 4),
    ("TDDP region", 4),
    ("TPT region", 4),
    ("STAG region", 4),
    ("RQ region", 4),
    ("RQUDP region", 2),
    ("PBL region", 4),
    ("TXPBL region", 4),
)
"""In the first external memory; on a card without any, in the rest of EDC1."""


@dataclass(frozen=True)
class PlacedRegion:
    """`size` bytes at adapter address `base`."""

    name: str
    base: int
    size: int

    @property
    def last(self) -> int:
        """The address of its last byte, which limit registers hold."""
        return self.base + self.size - 1


class MemoryMap:
    """The regions by name, in order of address."""

    def __init__(self, regions: list[PlacedRegion]) -> None:
        self._regions = {region.name: region for region in regions}

    def __iter__(self) -> Iterator[PlacedRegion]:
        return iter(self._regions.values())

    def __getitem__(self, name: str) -> PlacedRegion:
        if name not in self._regions:
            raise ModelError(f"no memory region {name}; there are {', '.join(self._regions)}")
        return self._regions[name]

    @classmethod
    def make(cls, profile: Profile, memories: Memories) -> MemoryMap:
        """Places the regions in the memories that the card has."""
        edc1 = memories["edc1"]
        regions = _divided(ON_CHIP, memories["edc0"].base, memories["edc0"].size)
        firmware = _divided(FIRMWARE, edc1.base, edc1.size)
        external = _external(memories)
        if external:
            return cls(regions + firmware + _divided(EXTERNAL, external.base, external.size))
        rest = firmware[-1].base + firmware[-1].size
        return cls(regions + firmware + _divided(EXTERNAL, rest, edc1.end - rest))


def _external(memories: Memories) -> Memory | None:
    return next((m for m in memories if m.name in ("mc0", "hma")), None)


def _divided(shares: tuple[tuple[str, int], ...], base: int, size: int) -> list[PlacedRegion]:
    regions = []
    for name, share in shares:
        length = max(size * share // SHARES // ALIGN * ALIGN, ALIGN)
        regions.append(PlacedRegion(name, base, length))
        base += length
    return regions
