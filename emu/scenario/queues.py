"""The driver's queues when the machine crashed, and each function's share of queue ids.

Chelsio's configuration files give the number of queues of each function; the start of its range is
assumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from random import Random

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware.rss import QUEUES_PER_COMMAND
from vmcoredd.chip.messages import POINTERS_PER_INDEX
from vmcoredd.chip.pci import PF, PFS
from vmcoredd.chip.sge import STATUS_DESCRIPTORS, STATUS_ENTRIES
from vmcoredd.emu.profile import Profile

EGRESS_ENTRIES, CONTROL_ENTRIES, PTP_ENTRIES = 1024, 512, 8
INGRESS_ENTRIES = 1024 - STATUS_ENTRIES
FREE_LIST_ENTRIES = 72 // POINTERS_PER_INDEX
"""What the indices of each ring go around (cxgb4_main.c, cfg_queues()); its status follows."""
ENTRY_BYTES = 64
HOST_MEMORY = 1 << 32
"""Rings start above this bus address; each takes whole pages."""
PAGE = 4096
FIRST_VECTOR = 1
"""MSI-X vector 0 is for everything but queues."""
RSS_SLICE = 128
"""RSS table entries of an interface; the first port's come first."""
VFS_PER_PF = 16


@dataclass(frozen=True)
class Ingress:
    """A ring that the card writes."""

    id: int
    port: int | None
    """None: firmware events."""
    address: int
    produced: int
    consumed: int
    generation: int
    vector: int


@dataclass(frozen=True)
class Egress:
    """A ring that the driver writes."""

    id: int
    port: int
    entries: int
    """What its indices go around: descriptors of 64 bytes, without the status page."""
    address: int
    produced: int
    consumed: int
    flm: int | None = None
    """Of a free list: its context in the free list manager."""
    control: bool = False
    """Whether it carries control requests."""


@dataclass(frozen=True)
class Function:
    """A function's share: the first egress and ingress queue id, and how many it has."""

    vf: int | None
    """None for a physical function."""
    egress: int
    egress_count: int
    ingress: int
    ingress_count: int


@dataclass(frozen=True)
class Queues:
    """All queues of PF4, and each function's share."""

    functions: tuple[Function, ...]
    """PF0 to PF7, then the virtual functions."""
    ingress: tuple[Ingress, ...]
    """Firmware events first."""
    egress: tuple[Egress, ...]

    @property
    def unified(self) -> Function:
        """The share of PF4, which the Linux driver runs on."""
        return self.functions[PF]

    @property
    def free_lists(self) -> tuple[Egress, ...]:
        """The free lists, by context number in the free list manager."""
        return tuple(queue for queue in self.egress if queue.flm is not None)

    @property
    def fed(self) -> Iterator[tuple[Ingress, Egress | None]]:
        """The ingress queues, each with its free list if it has one."""
        lists = iter(self.free_lists)
        return ((queue, None if queue.port is None else next(lists)) for queue in self.ingress)

    def received(self, port: int) -> tuple[Ingress, ...]:
        """Returns the receive queues of a port, over which RSS distributes its packets."""
        return tuple(queue for queue in self.ingress if queue.port == port)

    @property
    def rss_entries(self) -> list[int]:
        """The RSS table: each port's slice cycles through the ids of its receive queues.

        cxgb4 fills each command in words of three ids, of which the last holds only two, and goes
        on behind the third: each command skips an id (t4_config_rss_range()).
        """
        ports = dict.fromkeys(queue.port for queue in self.ingress if queue.port is not None)
        return [queue.id for port in ports for queue in self._rss_slice(port)]

    def _rss_slice(self, port: int) -> Iterator[Ingress]:
        received = self.received(port)
        for number in range(RSS_SLICE):
            skipped = number // QUEUES_PER_COMMAND
            yield received[(number + skipped) % RSS_SLICE % len(received)]

    @classmethod
    def unused(cls, profile: Profile) -> Queues:
        """Returns the functions' shares, of which nothing is allocated."""
        return cls(tuple(_functions(profile.chip)), (), ())

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Queues:
        """Returns queues in the order in which the driver allocates them: one for firmware events;
        for each port receive queues with a free list each, then its transmit queues; a control
        queue for each port; and a transmit queue for time stamps (cxgb4_main.c,
        setup_sge_queues())."""
        functions = tuple(_functions(profile.chip))
        ports, sets = range(profile.ports.count), range(profile.queues.per_port)
        rings, flm = _Rings(random, functions[PF]), count()
        ingress, egress = [rings.ingress(None)], []
        for port in ports:
            for _ in sets:
                ingress.append(rings.ingress(port))
                egress.append(rings.free_list(next(flm), port))
            egress += [rings.egress(port, EGRESS_ENTRIES) for _ in sets]
        egress += [rings.control(port) for port in ports]
        egress.append(rings.egress(ports[0], PTP_ENTRIES))
        return cls(functions, tuple(ingress), tuple(egress))


def virtual_functions(chip: Chip, pf: int) -> range:
    """Returns the virtual functions of a physical function: the first of its equal share."""
    first = chip.tp.rss_vfs // PFS * pf
    return range(first, first + VFS_PER_PF)


def _functions(chip: Chip) -> Iterator[Function]:
    """Yields PF0 to PF3 (a port each), PF4 (all ports), PF5 and PF6 (storage), PF7 (no queues)."""
    for pf in range(PF):
        yield Function(None, 16 * pf, 16, 8 * pf, 8)
    yield Function(None, 64, 256, 32, 218)  # PF4
    yield Function(None, 320, 64, 250, 34)  # PF5
    yield Function(None, 384, 66, 284, 34)  # PF6
    yield Function(None, 0, 0, 0, 0)  # PF7
    vfs = [vf for pf in range(PF) for vf in virtual_functions(chip, pf)]
    for i, vf in enumerate(vfs):
        yield Function(vf, 512 + 8 * i, 8, 512 + 8 * i, 8)


class _Rings:
    """Makes rings in host memory, with random indices: each has been in use for a while."""

    def __init__(self, random: Random, share: Function) -> None:
        self._random = random
        self._ingress, self._egress = count(share.ingress), count(share.egress)
        self._address = HOST_MEMORY + random.randrange(1 << 16) * PAGE
        self._vector = FIRST_VECTOR

    def ingress(self, port: int | None) -> Ingress:
        consumed = self._random.randrange(INGRESS_ENTRIES)
        waiting = self._random.choice((0, 0, 0, self._random.randrange(8)))
        self._vector += 1
        return Ingress(
            id=next(self._ingress),
            port=port,
            address=self._room((INGRESS_ENTRIES + STATUS_ENTRIES) * ENTRY_BYTES),
            produced=(consumed + waiting) % INGRESS_ENTRIES,
            consumed=consumed,
            generation=self._random.randrange(2),
            vector=self._vector - 1,
        )

    def egress(self, port: int, entries: int) -> Egress:
        consumed = self._random.randrange(entries)
        waiting = self._random.choice((0, 0, 0, self._random.randrange(8)))
        address = self._room((entries + STATUS_DESCRIPTORS[0]) * ENTRY_BYTES)
        produced = (consumed + waiting) % entries
        return Egress(next(self._egress), port, entries, address, produced, consumed)

    def control(self, port: int) -> Egress:
        return replace(self.egress(port, CONTROL_ENTRIES), control=True)

    def free_list(self, flm: int, port: int) -> Egress:
        """Makes a nearly full list: the card has taken a few buffers since the last refill."""
        consumed = self._random.randrange(FREE_LIST_ENTRIES)
        taken = self._random.randrange(1, 4)
        address = self._room((FREE_LIST_ENTRIES + STATUS_DESCRIPTORS[0]) * ENTRY_BYTES)
        produced = (consumed - taken) % FREE_LIST_ENTRIES
        number = next(self._egress)
        return Egress(number, port, FREE_LIST_ENTRIES, address, produced, consumed, flm)

    def _room(self, size: int) -> int:
        address = self._address
        self._address += (size + PAGE - 1) // PAGE * PAGE
        return address
