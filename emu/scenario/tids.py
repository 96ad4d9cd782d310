"""How the lookup engine's table is divided, and the connections, servers and filters in it.

The TCAM's entries come first, then those of the hash table in memory; on a T6, the TCAM of local
IPv6 addresses (CLIP) is a third part behind them (as the driver's dump counts: assumed). The sizes
of the regions are those that Chelsio's default configuration files ask for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from vmcoredd.chip.lookup import FILTER_TUPLE, LookupEntry, clip_words
from vmcoredd.chip.tcb import TcpState
from vmcoredd.emu.profile import Profile

PORTS_OF_SERVERS = (22, 80, 443, 860, 2049, 3260, 4420)
PROTOCOL_TCP = 6
IPV6_NET = int(ipaddress.IPv6Address("2001:db8::"))
IPV6_SHARE = 0.25
SERVERS = FILTERS = 512
"""Entries of their regions."""
IPV6_TIDS = 2
"""Entries of the TCAM that an IPv6 tuple takes, from an even one on."""
SPACING = 4
"""From one server, filter or local address to the next; IPv6 takes so many in the T6's CLIP."""


@dataclass(frozen=True)
class Regions:
    """The first entry of each region of the table."""

    active: int
    """Connections; on a T6, filters of high priority stand before them."""
    servers: int
    filters: int
    routing: int
    """Behind the last filter."""
    clip: int
    hash_base: int
    hash_tids: int
    """Entries of the hash table; 0 if there is none."""

    @property
    def last_filter(self) -> int:
        """The last entry for filters."""
        return self.filters + FILTERS - 1

    @classmethod
    def make(cls, profile: Profile) -> Regions:
        """The division of a card's table."""
        hash_tids = profile.tables.hash_tids if profile.tables.hash_filters else 0
        le = profile.chip.le
        if not le.clip_tids:
            clip, routing = 1984, 2016  # 32 of each, the last of the TCAM
            return cls(0, clip - SERVERS - FILTERS, clip - FILTERS, routing, clip, 2048, hash_tids)
        end = le.tcam_tids
        return cls(
            active=64,
            servers=end - SERVERS - FILTERS,
            filters=end - FILTERS,
            routing=end,
            clip=end + hash_tids,
            hash_base=end,
            hash_tids=hash_tids,
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
    state: TcpState

    @property
    def is_ipv6(self) -> bool:
        """Whether the addresses are IPv6; such a connection takes two entries."""
        return len(self.local) == 16

    @property
    def entry(self) -> LookupEntry:
        """What the engine compares packets with: of the filter tuple, the protocol only."""
        tcp = filter_tuple(protocol=PROTOCOL_TCP)
        return LookupEntry(self.remote, self.local, self.remote_port, self.local_port, tcp)


@dataclass(frozen=True)
class Server:
    """A listening port; its address is packed, all zero for any."""

    tid: int
    local: bytes
    local_port: int

    @property
    def entry(self) -> LookupEntry:
        """What the engine compares packets with."""
        tcp = filter_tuple(protocol=PROTOCOL_TCP)
        return LookupEntry(bytes(len(self.local)), self.local, 0, self.local_port, tcp)


@dataclass(frozen=True)
class Filter:
    """A filter: TCP to a local port is passed to a queue, or dropped (`queue` None)."""

    tid: int
    local_port: int
    port: int
    """The port of the card on which packets come in."""
    queue: int | None
    """The ordinal of a receive queue of that port."""
    packets: int
    octets: int
    """What it has counted."""

    @property
    def entry(self) -> LookupEntry:
        """What the engine compares packets with."""
        values = filter_tuple(protocol=PROTOCOL_TCP, port=self.port)
        return LookupEntry(bytes(4), bytes(4), 0, self.local_port, values)


@dataclass(frozen=True)
class Table:
    """What is in the lookup engine's table; each kind sorted by TID."""

    regions: Regions
    connections: tuple[Connection, ...]
    servers: tuple[Server, ...]
    filters: tuple[Filter, ...]
    local_ipv6: tuple[tuple[int, bytes], ...]
    """Entries of the CLIP table: TID and address."""

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Table:
        """Connections of a storage and web server."""
        regions = Regions.make(profile)
        tids = _tids(regions, profile.tables.connections, random)
        addresses = [_local_ipv6(port) for port in range(profile.ports.count)]
        return cls(
            regions,
            connections=tuple(_connection(tid, profile, random) for tid in tids),
            servers=tuple(_servers(regions)),
            filters=tuple(_filters(regions, profile, random)),
            local_ipv6=tuple(
                (regions.clip + SPACING * i, address) for i, address in enumerate(addresses)
            ),
        )

    def entries(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Every entry in use: TID, and the words that the engine shows."""
        users: tuple[Connection | Server | Filter, ...]
        users = (*self.connections, *self.servers, *self.filters)
        for user in users:
            yield user.tid, user.entry.words()
        for tid, address in self.local_ipv6:
            yield tid, clip_words(address)


def filter_tuple(**values: int) -> int:
    """A filter tuple of these fields; KeyError for one that it does not have."""
    known = {field.name: field for field in FILTER_TUPLE}
    return sum(known[name].put(value) for name, value in values.items())


def _tids(regions: Regions, count: int, random: Random) -> list[int]:
    """Even ones, so that IPv6 has room; with a hash table, half of them are in it."""
    in_tcam = range(regions.active, regions.servers, IPV6_TIDS)
    in_hash = range(regions.hash_base, regions.hash_base + regions.hash_tids, IPV6_TIDS)
    share = min(count // 2 if in_hash else count, len(in_tcam))
    chosen = random.sample(in_tcam, share)
    chosen += random.sample(in_hash, min(count - share, len(in_hash)))
    return sorted(chosen)


def _local_ipv6(port: int) -> bytes:
    return (IPV6_NET + (port << 64) + 1).to_bytes(16, "big")


def _connection(tid: int, profile: Profile, random: Random) -> Connection:
    port = random.randrange(profile.ports.count)
    if random.random() < IPV6_SHARE:
        local = _local_ipv6(port)
        net = IPV6_NET + (port << 64)
        remote = (net + random.randrange(2, 1 << 32)).to_bytes(16, "big")
    else:
        local = bytes((10, port, 0, 1))
        remote = bytes((10, port, random.randrange(1, 255), random.randrange(1, 255)))
    states = [TcpState.ESTABLISHED] * 4 + [TcpState.CLOSE_WAIT, TcpState.TIME_WAIT]
    return Connection(
        tid=tid,
        port=port,
        local=local,
        remote=remote,
        local_port=random.choice(PORTS_OF_SERVERS),
        remote_port=random.randrange(32768, 61000),
        state=random.choice(states),
    )


def _servers(regions: Regions) -> Iterator[Server]:
    """Every port is served on any IPv4 address and, behind those, on any IPv6 address."""
    wide = regions.servers + SPACING * len(PORTS_OF_SERVERS)
    for i, port in enumerate(PORTS_OF_SERVERS):
        yield Server(regions.servers + SPACING * i, bytes(4), port)
    for i, port in enumerate(PORTS_OF_SERVERS):
        yield Server(wide + SPACING * i, bytes(16), port)


def _filters(regions: Regions, profile: Profile, random: Random) -> Iterator[Filter]:
    """Some of high priority where there is a region for them, the rest in the ordinary one."""
    urgent = profile.tables.filters // 4 if regions.active else 0
    for i in range(profile.tables.filters):
        packets = random.randrange(1 << 20)
        yield Filter(
            tid=i if i < urgent else regions.filters + SPACING * (i - urgent),
            local_port=random.randrange(1024, 49152),
            port=random.randrange(profile.ports.count),
            queue=random.choice((None, random.randrange(profile.queues.per_port))),
            packets=packets,
            octets=packets * random.randrange(64, 1500),
        )
