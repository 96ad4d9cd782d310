"""The tables of `struct engine`, as firmware fills them: a record for each kind of entry.

A record has the fields that firmware decides, under the names that engine.h gives them. The rest of
an entry (indices, what is armed, counts) belongs to the engine and begins at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

from vmcoredd.emu._cffi import ffi, lib

NO_QUEUE: int = lib.ENGINE_NO_QUEUE
"""No such queue."""
NO_CLASS: int = lib.ENGINE_NO_CLASS
"""No traffic class."""
QUEUES: int = lib.ENGINE_QUEUES
"""Queues of each direction; ids are below."""
FLOWS: int = lib.ENGINE_FLOWS
"""Flows of Ethernet offload; ids are below."""
NEIGHBOURS: int = lib.ENGINE_NEIGHBOURS
"""Entries of the table of neighbours (L2T)."""
SOURCE_MACS: int = lib.ENGINE_SOURCE_MACS
"""Entries of the table of source MACs (SMT)."""
KEPT = (
    *("egress", "egress_changed", "ingress", "ingress_changed"),
    *("interfaces", "interface_count", "macs", "mac_count"),
    *("tuple", "matches_interfaces", "filters", "filters_used", "filter_count"),
    *("neighbours", "source_macs", "flows", "class_rates", "port_rates"),
    *("msix_pending", "intx_waits", "msi_waits", "counts"),
)
"""What a snapshot holds; ports have descriptors in them, so they are kept apart."""
PORT_KEPT = (
    *("configured", "enabled", "up", "sends_pauses", "obeys_pauses"),
    *("event", "event_due"),
)


class EgressKind(IntEnum):
    """`enum egress_kind` of engine.h."""

    NONE = lib.EGRESS_NONE
    FREE_LIST = lib.EGRESS_FREE_LIST
    ETHERNET = lib.EGRESS_ETHERNET
    CONTROL = lib.EGRESS_CONTROL
    OFFLOAD = lib.EGRESS_OFFLOAD


class WireKind(IntEnum):
    """`enum wire_kind` of engine.h."""

    IDLE = lib.WIRE_IDLE
    OPEN = lib.WIRE_OPEN
    PORT = lib.WIRE_PORT
    CARD = lib.WIRE_CARD
    STREAM = lib.WIRE_STREAM
    DGRAM = lib.WIRE_DGRAM
    TAP = lib.WIRE_TAP


@dataclass(frozen=True, kw_only=True)
class EgressRing:
    """A ring that the driver fills; a free list if `kind` says so."""

    kind: EgressKind
    pf: int
    port: int
    address: int
    """Where it is in the host's memory."""
    entries: int
    """Descriptors of 64 bytes, without the status page."""
    status_bytes: int
    """The size of the status page behind them."""
    interface: int = 0
    ingress: int = NO_QUEUE
    """The queue that hears of its progress; of a free list, the queue that it feeds."""
    host_flow_control: int = 0
    """HostFCMode: 1 tells `ingress`, 2 writes the status page, 3 both."""
    flush_threshold: int = 0
    """Tells after 1 << this many descriptors."""
    auto_message: int = 0
    auto_status: int = 0
    traffic_class: int = NO_CLASS
    """Of its port: what limits its rate."""
    flm: int = 0
    """Of a free list: its context in the free list manager."""
    packing: int = 0
    padding: int = 0
    halted: int = 0
    """Not started."""


@dataclass(frozen=True, kw_only=True)
class IngressRing:
    """A ring that the card fills."""

    pf: int
    port: int
    address: int
    """Where it is in the host's memory."""
    entries: int
    """Without the status entry."""
    entry_bytes: int
    asynchronous: int = 0
    """It takes firmware's events."""
    forwarded: int = 0
    """`vector` is the ingress queue that gets its interrupts."""
    interrupts: int = 0
    """It may raise interrupts."""
    tells_status: int = 0
    """Its status entry, the last of the ring, tells how far the card is."""
    threshold: int = 0
    """Which packet threshold of SGE_INGRESS_RX_THRESHOLD."""
    vector: int = 0
    interface: int = 0
    free_list: int = NO_QUEUE
    generation: int = 1
    """Of the lap that it begins with."""
    halted: int = 0
    """Not started."""


@dataclass(kw_only=True)
class InterfaceRow:
    """Who receives what on a port, and where it goes."""

    viid: int
    port: int
    pf: int
    receives: int = 0
    sends: int = 0
    promiscuous: int = 0
    all_multicast: int = 0
    broadcast: int = 0
    strips_vlan: int = 0
    default_queue: int = 0
    unicast_hash: int = 0
    """A bit for each hash of an address."""
    multicast_hash: int = 0
    vnic_id: int = 0
    """What filters know it by (chip/le.py)."""
    rss_first: int = 0
    """The first entry of its slice of the RSS table."""
    rss_count: int = 0
    hash_ip4_ports: int = 0
    """The parts of a frame that choose a queue: here, addresses and ports of TCP over IPv4."""
    hash_ip4: int = 0
    hash_ip6_ports: int = 0
    hash_ip6: int = 0
    hash_udp: int = 0


Row = EgressRing | IngressRing | InterfaceRow


def fill(entry: Any, row: Row, kind: type[Row] | None = None) -> None:
    """Makes an entry of C's table what `row` says; the engine's own fields are 0.

    `kind` is the row's class if the row is of a subclass with more fields.
    """
    clear(entry)
    for field in fields(kind or row):
        setattr(entry, field.name, getattr(row, field.name))


def clear(entry: Any) -> None:
    """Makes an entry of C's table unused."""
    data = ffi.buffer(ffi.addressof(entry))
    data[:] = bytes(len(data))


def save(c: Any) -> tuple[Any, ...]:
    """Returns a copy of an engine's tables; the host, wires and descriptors are no part of it."""
    ports = tuple(_copied(port, PORT_KEPT) for port in c.ports)
    return _copied(c, KEPT), ports


def load(c: Any, saved: tuple[Any, ...]) -> None:
    """Restores what `save()` returned. Holdoff timers and waits for a rate end at once,
    interrupts that are late never come."""
    tables, ports = saved
    _put_back(c, KEPT, tables)
    for port, kept in zip(c.ports, ports, strict=True):
        _put_back(port, PORT_KEPT, kept)
    for queue in c.ingress:
        queue.due, queue.starved = min(queue.due, 1), 0
    lib.engine_index_macs(c)
    lib.engine_forget_sent(c)
    lib.irq_forget_late(c)
    lib.engine_resume(c)


def _copied(struct: Any, names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(bytes(ffi.buffer(ffi.addressof(struct, name))) for name in names)


def _put_back(struct: Any, names: tuple[str, ...], kept: tuple[bytes, ...]) -> None:
    for name, data in zip(names, kept, strict=True):
        ffi.memmove(ffi.addressof(struct, name), data, len(data))
