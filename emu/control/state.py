"""What verbs work on, and what `state` tells of it: a record of plain values, for JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyvfio_user import Server
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.access_log import LogKind
from vmcoredd.emu.card import Card
from vmcoredd.emu.control.tracing import Tracing
from vmcoredd.emu.engine import EgressKind, WireKind
from vmcoredd.emu.firmware import Firmware
from vmcoredd.emu.snapshot import Snapshot

SENT = {"frames": lib.SENT_FRAMES, "data_bytes": lib.SENT_BYTES, "drops": lib.SENT_DROP}
RECEIVED = {"frames": lib.SENT_FRAMES, "data_bytes": lib.SENT_BYTES}
"""The index of a counter in a port's statistics, by its name here; received frames and bytes have
the indices of those sent."""
COUNTS = (
    *("frames_sent", "frames_received", "frames_dropped"),
    *("dma_reads", "dma_writes", "interrupts", "troubles"),
)
"""Of the engine's counts."""


@dataclass
class Served:
    """What verbs work on: a card, its server, and what they keep from one request to the next."""

    card: Card
    server: Server
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    tracing: Tracing = field(init=False)

    def __post_init__(self) -> None:
        self.tracing = Tracing(self.card, self.server)
        self.closing.callback(self.tracing.close)


def state(served: Served) -> dict[str, Any]:
    """Returns all of it; to be called in the thread that serves the card."""
    card, server = served.card, served.server
    peer = server.peer
    return {
        "card": card.profile.name,
        "chip": repr(card.chip),
        "seed": card.seed,
        "scene": str(card.scenario.scene),
        "socket": server.path,
        "client": peer._asdict() if peer else None,
        "messages": server.messages,
        "accesses": card.accesses,
        "blocks": [
            {"block": name, "words_read": reads, "words_written": writes}
            for name, (reads, writes) in card.core.block_counts().items()
        ],
        "commands": [
            {"command": name, "count": count} for name, count in card.firmware.executed.items()
        ],
        **told_faults(card),
        **{name: int(getattr(card.engine.c.counts, name)) for name in COUNTS},
        "ports": [_port(card, number) for number in range(card.profile.ports.count)],
        "queues": [*_egress_queues(card), *_ingress_queues(card)],
        "firmware": _firmware(card.firmware),
        "access_log": access_totals(card),
        "snapshots": snapshots(served),
    }


def told_faults(card: Card) -> dict[str, list[str]]:
    """Returns the faults that are on, and those that wait for their triggers."""
    return {"faults": [*card.faults], "waiting_faults": card.triggers.armed}


def access_totals(card: Card) -> dict[str, int]:
    """Returns how many accesses of each kind the access log has counted."""
    totals = card.access_log.totals
    return {kind.name.lower(): totals[kind] for kind in LogKind}


def snapshots(served: Served) -> list[dict[str, Any]]:
    """Returns the names and sizes of the snapshots that are kept."""
    return [{"name": name, "size_bytes": one.size} for name, one in served.snapshots.items()]


def _port(card: Card, number: int) -> dict[str, Any]:
    port = card.engine.c.ports[number]
    wire = WireKind(port.wire.kind)
    peer = int(port.wire.peer) if wire is WireKind.PORT else None
    return {
        "port": number,
        "up": bool(port.up),
        "pulled": card.firmware.state.links[number].pulled,
        "gbit_per_second": card.profile.ports.speed,
        "wire": wire.name.lower(),
        "peer": peer,
        "sent": _counters(port.sent, SENT),
        "received": _counters(port.received, RECEIVED),
    }


def _counters(words: Any, which: dict[str, int]) -> dict[str, int]:
    """Returns 64-bit counters, low word first; none if MPS keeps none."""
    if words == ffi.NULL:
        return dict.fromkeys(which, 0)
    return {name: words[2 * at] | words[2 * at + 1] << 32 for name, at in which.items()}


def _egress_queues(card: Card) -> Iterator[dict[str, Any]]:
    for number, queue in enumerate(card.engine.c.egress):
        if queue.kind != EgressKind.NONE:
            kind = EgressKind(queue.kind).name.lower()
            frames = {"frames": int(queue.frames), "data_bytes": int(queue.bytes)}
            yield _queue(kind, number, queue) | frames


def _ingress_queues(card: Card) -> Iterator[dict[str, Any]]:
    for number, queue in enumerate(card.engine.c.ingress):
        if queue.entries:
            yield _queue("ingress", number, queue) | {"frames": None, "data_bytes": None}


def _queue(kind: str, number: int, queue: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "queue": number,
        "pf": int(queue.pf),
        "port": int(queue.port),
        "entries": int(queue.entries),
        "pidx": int(queue.pidx),
        "cidx": int(queue.cidx),
        "produced": int(queue.produced),
        "halted": bool(queue.halted),
    }


def _firmware(firmware: Firmware) -> dict[str, Any]:
    state, last = firmware.state, firmware.state.last_command
    return {
        "version": firmware.profile.firmware.version,
        "mode": state.mode.value,
        "halted": state.halted,
        "initialised": state.initialised,
        "master": state.master,
        "last_command": last._asdict() if last else None,
        "log_records": state.logged,
    }
