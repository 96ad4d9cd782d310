"""The queues as the driver had them when the machine died, and how they are shared out.

Which function has which queues, Chelsio's configuration files say by number only; where each
range begins is of our own making.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

from vmcoredd.chip import Chip
from vmcoredd.emu.profile import Profile

INGRESS_ENTRIES, INGRESS_ENTRY_BYTES = 1024, 64
EGRESS_UNITS, FREE_LIST_UNITS, CONTROL_UNITS = 1024, 72, 1024
"""Sizes of rings, in units of 64 bytes (cxgb4_main.c, cfg_queues(), cxgb4_set_rspq_size())."""
HOST_MEMORY = 1 << 32
"""Rings lie above this bus address, a page or more each."""
PAGE = 4096
FIRST_VECTOR = 1
"""MSI-X vector 0 is for everything but queues."""
RSS_SLICE = 128
"""Entries of the RSS table that an interface has; the first port's come first."""
PFS, VFS_PER_PF = 8, 16
UNIFIED_PF = 4


@dataclass(frozen=True)
class Ingress:
    """A ring that the card writes."""

    id: int
    port: int | None
    """None: firmware events."""
    free_list: int | None
    """Its free list's egress id."""
    address: int
    produced: int
    consumed: int
    generation: int
    vector: int


@dataclass(frozen=True)
class Egress:
    """A ring that the driver writes."""

    id: int
    kind: str
    """`tx`, `control` or `free list`."""
    port: int
    units: int
    address: int
    produced: int
    consumed: int
    flm: int | None = None
    """The number of a free list's context in the free list manager."""


@dataclass(frozen=True)
class Function:
    """A function's share: first id and number of its egress and ingress queues."""

    name: str
    vf: int | None
    """None: a physical function."""
    egress: int
    egress_count: int
    ingress: int
    ingress_count: int


@dataclass(frozen=True)
class Queues:
    """All queues of PF4, and every function's share."""

    functions: tuple[Function, ...]
    """PF0 to PF7, then the virtual functions."""
    ingress: tuple[Ingress, ...]
    egress: tuple[Egress, ...]

    @property
    def unified(self) -> Function:
        """The share of PF4, which the Linux driver runs on."""
        return self.functions[UNIFIED_PF]

    @property
    def events(self) -> Ingress:
        """The queue of firmware events."""
        return self.ingress[0]

    @property
    def free_lists(self) -> tuple[Egress, ...]:
        """The free lists, by their numbers in the free list manager."""
        return tuple(queue for queue in self.egress if queue.flm is not None)

    def received(self, port: int) -> tuple[Ingress, ...]:
        """The receive queues of a port, over which RSS spreads its packets."""
        return tuple(queue for queue in self.ingress if queue.port == port)

    @property
    def rss_entries(self) -> list[int]:
        """The RSS table: in each port's slice, the ids of its receive queues in turn."""
        ports = dict.fromkeys(queue.port for queue in self.ingress if queue.port is not None)
        slices = (islice(cycle(self.received(port)), RSS_SLICE) for port in ports)
        return [queue.id for part in slices for queue in part]

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Queues:
        """A queue for firmware events; for each port, receive and transmit queues and one for
        control, in the order in which the driver allocates them."""
        functions = tuple(_functions(profile.chip))
        rings = _Rings(random)
        ports = range(profile.ports.count)
        sets = [port for port in ports for _ in range(profile.queues.per_port)]
        egress, ingress = functions[UNIFIED_PF].egress, functions[UNIFIED_PF].ingress
        lists = [rings.free_list(egress + i, i, port) for i, port in enumerate(sets)]
        egress += len(sets)
        sent = [rings.egress(egress + i, "tx", port, EGRESS_UNITS) for i, port in enumerate(sets)]
        egress += len(sets)
        control = [rings.egress(egress + port, "control", port, CONTROL_UNITS) for port in ports]
        events = rings.ingress(ingress, None, None)
        received = [
            rings.ingress(ingress + 1 + i, port, lists[i].id) for i, port in enumerate(sets)
        ]
        return cls(functions, (events, *received), (*lists, *sent, *control))


def virtual_functions(chip: Chip, pf: int) -> range:
    """The numbers of a function's virtual functions: an equal share of those the chip has."""
    first = chip.rss_vfs // PFS * pf
    return range(first, first + VFS_PER_PF)


def _functions(chip: Chip) -> Iterator[Function]:
    """PF0 to PF3 have a port each, PF4 all of them, PF5 and PF6 storage; PF7 has nothing."""
    for pf in range(UNIFIED_PF):
        yield Function(f"PF{pf}", None, 16 * pf, 16, 8 * pf, 8)
    yield Function("PF4", None, 64, 256, 32, 218)
    yield Function("PF5", None, 320, 64, 250, 34)
    yield Function("PF6", None, 384, 66, 284, 34)
    yield Function("PF7", None, 0, 0, 0, 0)
    vfs = [vf for pf in range(UNIFIED_PF) for vf in virtual_functions(chip, pf)]
    for i, vf in enumerate(vfs):
        yield Function(f"VF{vf}", vf, 512 + 8 * i, 8, 512 + 8 * i, 8)


class _Rings:
    """Makes rings, each in host memory of its own and somewhere on its way round."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._address = HOST_MEMORY + random.randrange(1 << 16) * PAGE
        self._vector = FIRST_VECTOR

    def ingress(self, number: int, port: int | None, free_list: int | None) -> Ingress:
        place = self._random.randrange(INGRESS_ENTRIES)
        waiting = self._random.choice((0, 0, 0, self._random.randrange(8)))
        self._vector += 1
        return Ingress(
            id=number,
            port=port,
            free_list=free_list,
            address=self._room(INGRESS_ENTRIES * INGRESS_ENTRY_BYTES),
            produced=(place + waiting) % INGRESS_ENTRIES,
            consumed=place,
            generation=self._random.randrange(2),
            vector=self._vector - 1,
        )

    def egress(self, number: int, kind: str, port: int, units: int) -> Egress:
        place = self._random.randrange(units)
        waiting = self._random.choice((0, 0, 0, self._random.randrange(8)))
        address = self._room((units + 1) * 64)  # a status page follows
        return Egress(number, kind, port, units, address, (place + waiting) % units, place)

    def free_list(self, number: int, flm: int, port: int) -> Egress:
        """Nearly full: the card has taken a few buffers since the driver last added some."""
        place = self._random.randrange(FREE_LIST_UNITS)
        taken = self._random.randrange(1, 8)
        address = self._room((FREE_LIST_UNITS + 1) * 64)
        produced = (place - taken) % FREE_LIST_UNITS
        units = FREE_LIST_UNITS
        return Egress(number, "free list", port, units, address, produced, place, flm)

    def _room(self, size: int) -> int:
        address = self._address
        self._address += (size + PAGE - 1) // PAGE * PAGE
        return address
