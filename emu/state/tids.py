"""How the lookup engine's table is divided, and the connections and filters in it.

The TCAM's entries come first, those of the hash table in memory behind them. The order of the
regions is the driver's (cudbg_lib.c, cudbg_get_le_type()); where each begins is of our own making:
multiples of 128, the unit of the T5's registers.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from random import Random

from emu.profile import Profile

TCAM_ENTRIES = {"t5": 2048, "t6": 3072}
"""Entries of the TCAM (cudbg_lib.c, cudbg_le_tcam_fill_region())."""
HIGH_PRIORITY_FILTERS = {"t5": 0, "t6": 16}
SERVER_START, FILTER_START, CLIP_START, ROUTING_START = 0x180, 0x200, 0x300, 0x700
PORTS_OF_SERVERS = (22, 80, 443, 860, 2049, 3260, 4420)
PROTOCOL_TCP = 6


@dataclass(frozen=True)
class Regions:
    """The first entry of each region of the table."""

    active: int
    servers: int
    filters: int
    clip: int
    routing: int
    hash_base: int
    hash_tids: int
    """Entries of the hash table; 0 if there is none."""

    @property
    def last_filter(self) -> int:
        """The last entry for filters."""
        return self.clip - 1

    @classmethod
    def make(cls, profile: Profile) -> Regions:
        """The division of a card's table."""
        name = profile.chip.name
        return cls(
            active=HIGH_PRIORITY_FILTERS[name],
            servers=SERVER_START,
            filters=FILTER_START,
            clip=CLIP_START,
            routing=ROUTING_START,
            hash_base=TCAM_ENTRIES[name],
            hash_tids=profile.tables.hash_tids if profile.tables.hash_filters else 0,
        )


@dataclass(frozen=True)
class Connection:
    """A connection that was open when the machine died. Addresses are packed, 4 or 16 bytes."""

    tid: int
    port: int
    """The port of the card it runs over."""
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    state: int
    """The TCP state, in the hardware's numbers (4: established)."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the addresses are IPv6; such a connection takes several entries."""
        return len(self.local) == 16


@dataclass(frozen=True)
class Server:
    """A listening port; its address is packed, all zero for any."""

    tid: int
    local: bytes
    local_port: int


@dataclass(frozen=True)
class Filter:
    """A filter: TCP to a local port is passed to a queue, or dropped (`queue` None)."""

    tid: int
    local_port: int
    queue: int | None


@dataclass(frozen=True)
class Table:
    """What is in the lookup engine's table; sorted by TID."""

    regions: Regions
    connections: tuple[Connection, ...]
    servers: tuple[Server, ...]
    filters: tuple[Filter, ...]

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Table:
        """Connections of a storage and web server."""
        regions = Regions.make(profile)
        tids = _tids(regions, profile.tables.connections, random)
        connections = tuple(_connection(tid, profile, random) for tid in tids)
        servers = tuple(
            Server(regions.servers + 2 * i, bytes(4), port)
            for i, port in enumerate(PORTS_OF_SERVERS)
        )
        filters = tuple(
            Filter(regions.filters + 2 * i, random.randrange(1024, 49152), random.choice((None, i)))
            for i in range(profile.tables.filters)
        )
        return cls(regions, connections, servers, filters)


def _tids(regions: Regions, count: int, random: Random) -> list[int]:
    """Even, and four apart, so that IPv6 has room; those beyond the TCAM go to the hash table."""
    first = (regions.active + 3) // 4 * 4
    in_tcam = range(first, regions.servers - 4, 4)
    in_hash = range(regions.hash_base, regions.hash_base + regions.hash_tids - 4, 4)
    share = count // 2 if in_hash else count
    share = min(share, len(in_tcam))
    chosen = random.sample(in_tcam, share)
    chosen += random.sample(in_hash, min(count - share, len(in_hash)))
    return sorted(chosen)


def _connection(tid: int, profile: Profile, random: Random) -> Connection:
    port = random.randrange(profile.ports.count)
    if random.random() < 0.25:
        net = int(ipaddress.IPv6Address("2001:db8::"))
        local = (net + (port << 64) + 1).to_bytes(16, "big")
        remote = (net + (port << 64) + random.randrange(2, 1 << 32)).to_bytes(16, "big")
    else:
        local = bytes((10, port, 0, 1))
        remote = bytes((10, port, random.randrange(1, 255), random.randrange(1, 255)))
    return Connection(
        tid=tid,
        port=port,
        local=local,
        remote=remote,
        local_port=random.choice(PORTS_OF_SERVERS),
        remote_port=random.randrange(32768, 61000),
        state=random.choice((4, 4, 4, 4, 5, 10)),
    )
