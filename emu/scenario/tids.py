"""The lookup engine's table of TIDs: its regions, and the connections, servers and filters in it.

The TCAM's entries come first, then those of the hash table in memory. On a T6, a third part
follows: the TCAM of local IPv6 addresses, CLIP (assumed: the driver's dump counts that way). The
regions have the sizes of Chelsio's default configuration files.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from vmcoredd.chip.le import (
    IPV6_TIDS,
    LookupEntry,
    clip_words,
    filter_fields,
)
from vmcoredd.chip.tcb import TcpState
from vmcoredd.emu.profile import Profile

SERVER_PORTS = (22, 80, 443, 860, 2049, 3260, 4420)
PROTOCOL_TCP = 6
IPV6_NET = int(ipaddress.IPv6Address("2001:db8::"))
IPV6_SHARE = 0.25
SERVERS = FILTERS = 512
"""Sizes of their regions, in entries."""
SPACING = 4
"""TIDs from one server, filter or local address to the next, as IPv6 needs in T6's CLIP."""


@dataclass(frozen=True)
class TidRegions:
    """The first TID of each region of the table."""

    active: int
    """Connections; on a T6, high-priority filters precede them."""
    servers: int
    filters: int
    routing: int
    """Follows the last filter."""
    clip: int
    hash_base: int
    hash_tids: int
    """Entries of the hash table, 0 if there is none."""

    @property
    def last_filter(self) -> int:
        """The last TID for filters."""
        return self.filters + FILTERS - 1

    @classmethod
    def make(cls, profile: Profile) -> TidRegions:
        """Returns the regions of a card's table."""
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
    """A connection that was open when the machine crashed. Addresses are packed, 4 or 16 bytes."""

    tid: int
    port: int
    """The Ethernet port that carries it."""
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    state: TcpState
    mode: int
    """The filter mode, as of all entries."""

    @property
    def is_ipv6(self) -> bool:
        """Whether it takes two entries because its addresses are IPv6."""
        return len(self.local) == 16

    @property
    def entry(self) -> LookupEntry:
        """What the engine matches: of the filter tuple, only the protocol."""
        tcp = filter_tuple(self.mode, protocol=PROTOCOL_TCP)
        return LookupEntry(self.remote, self.local, self.remote_port, self.local_port, tcp)


@dataclass(frozen=True)
class Server:
    """A listening TCP port; its address is packed, all zero for any."""

    tid: int
    local: bytes
    local_port: int
    mode: int

    @property
    def entry(self) -> LookupEntry:
        """What the engine matches."""
        tcp = filter_tuple(self.mode, protocol=PROTOCOL_TCP)
        return LookupEntry(bytes(len(self.local)), self.local, 0, self.local_port, tcp)


@dataclass(frozen=True)
class Filter:
    """A filter on a local TCP port: sends its packets to a queue, or drops them (`queue` None)."""

    tid: int
    local_port: int
    port: int
    """The Ethernet port that packets arrive on."""
    queue: int | None
    """An index into the receive queues of that port."""
    packets: int
    octets: int
    """Packets and bytes counted so far."""
    mode: int

    @property
    def entry(self) -> LookupEntry:
        """What the engine matches."""
        values = filter_tuple(self.mode, protocol=PROTOCOL_TCP, port=self.port)
        return LookupEntry(bytes(4), bytes(4), 0, self.local_port, values)


@dataclass(frozen=True)
class TidTable:
    """The entries in use; each kind sorted by TID."""

    regions: TidRegions
    connections: tuple[Connection, ...]
    servers: tuple[Server, ...]
    filters: tuple[Filter, ...]
    local_ipv6: tuple[tuple[int, bytes], ...]
    """CLIP entries: TID and address."""

    @classmethod
    def unused(cls, profile: Profile) -> TidTable:
        """Returns a table without entries."""
        return cls(TidRegions.make(profile), (), (), (), ())

    @classmethod
    def make(cls, profile: Profile, mode: int, random: Random) -> TidTable:
        """Makes the table of a storage and web server, under a filter mode."""
        regions = TidRegions.make(profile)
        tids = _tids(regions, profile.tables.connections, random)
        addresses = [_local_ipv6(port) for port in range(profile.ports.count)]
        return cls(
            regions,
            connections=tuple(_connection(tid, profile, mode, random) for tid in tids),
            servers=tuple(_servers(regions, mode)),
            filters=tuple(_filters(regions, profile, mode, random)),
            local_ipv6=tuple(
                (regions.clip + SPACING * i, address) for i, address in enumerate(addresses)
            ),
        )

    def entries(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yields TID and words of each entry in use."""
        owners: tuple[Connection | Server | Filter, ...]
        owners = (*self.connections, *self.servers, *self.filters)
        for owner in owners:
            yield owner.tid, owner.entry.words()
        for tid, address in self.local_ipv6:
            yield tid, clip_words(address)


def filter_tuple(mode: int, **values: int) -> int:
    """Returns a filter tuple with those of these fields that the filter mode has."""
    fields = (field for field in filter_fields(mode) if field.name in values)
    return sum(field.put(values[field.name]) for field in fields)


def _tids(regions: TidRegions, count: int, random: Random) -> list[int]:
    """Returns even TIDs, since IPv6 needs two; half are in the hash table if there is one."""
    in_tcam = range(regions.active, regions.servers, IPV6_TIDS)
    in_hash = range(regions.hash_base, regions.hash_base + regions.hash_tids, IPV6_TIDS)
    share = min(count // 2 if in_hash else count, len(in_tcam))
    chosen = random.sample(in_tcam, share)
    chosen += random.sample(in_hash, min(count - share, len(in_hash)))
    return sorted(chosen)


def _local_ipv6(port: int) -> bytes:
    return (IPV6_NET + (port << 64) + 1).to_bytes(16, "big")


def _connection(tid: int, profile: Profile, mode: int, random: Random) -> Connection:
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
        local_port=random.choice(SERVER_PORTS),
        remote_port=random.randrange(32768, 61000),
        state=random.choice(states),
        mode=mode,
    )


def _servers(regions: TidRegions, mode: int) -> Iterator[Server]:
    """Yields a server for each TCP port on any IPv4 address, then for each on any IPv6 address."""
    ipv6 = regions.servers + SPACING * len(SERVER_PORTS)
    for i, port in enumerate(SERVER_PORTS):
        yield Server(regions.servers + SPACING * i, bytes(4), port, mode)
    for i, port in enumerate(SERVER_PORTS):
        yield Server(ipv6 + SPACING * i, bytes(16), port, mode)


def _filters(regions: TidRegions, profile: Profile, mode: int, random: Random) -> Iterator[Filter]:
    """Yields filters; a quarter have high priority if the card has a region for such filters."""
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
            mode=mode,
        )
