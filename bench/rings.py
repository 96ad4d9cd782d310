"""A driver of queues, in C (rings.h): frames go from its rings through the packet engine to its
rings. Everything goes through what a driver has: the mailbox, BAR2, shared memory.

The card is a T6 as firmware leaves it, whose port 0 leads to port 1. Each queue of a port sends to
all queues of the other. Sizes and options of queues are cxgb4's.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vmcoredd.bench._cffi import ffi, lib
from vmcoredd.bench.hosts import BASE, SIZE, Host
from vmcoredd.bench.traffic import DESCRIPTOR, Traffic, needs_memory, packet, request
from vmcoredd.chip import T6
from vmcoredd.chip.firmware import (
    EqEth,
    Hello,
    Iq,
    PortAction,
    PortInfo32,
    PortL1Config32,
    RssIndTbl,
    RssViConfig,
    Vi,
    ViEnable,
    ViRxmode,
)
from vmcoredd.chip.pci import PF
from vmcoredd.chip.sge import USER_DOORBELL
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.plural import exact

CARD, WIRES = "t62100-cr", ["0=1"]
SENT, RECEIVED, UNITS = 1024, 1023, 9
"""Descriptors and entries of a queue, and units of eight buffers of its free list. Behind each is
its status page or entry."""
BUFFERS, BUFFER, BUFFER_SIZE = UNITS * 8, 65536, 1
"""Buffers of a free list, their bytes, and the index of that size in SGE_FL_BUFFER_SIZE."""
FLOWS = 16
"""Packets that a queue sends in turn; each has a port number of its own, for RSS."""
PACKET_ROOM = 65536
RSS_ENTRIES, RSS_ROW = 128, 32
ARMED, UNARMED = 1 << 13 | 1 << 12, 7 << 13
"""Of a GTS: arm with a holdoff timer and at the packet threshold; only take note of the entries."""


@dataclass(frozen=True)
class Took:
    """What a run took."""

    frames: int
    seconds: float
    engine: float
    """Seconds of processor time in the engine, if it is in this process."""
    messages: int
    """Writes to BAR2."""
    interrupts: int


class Rings:
    """The queues of ports 0 and 1 of a card, for one kind of traffic."""

    def __init__(self, host: Host, traffic: Traffic) -> None:
        self.host, self.traffic = host, traffic
        self.call = Mailbox(host.io, T6, PF).call
        self._next, self._vector = 0, 1
        self._kept: list[Any] = []
        self.call(Hello(mbmaster=PF, masterforce=1))  # it ends all access to memory
        interfaces = [self._up(port) for port in (0, 1)]
        ways = [(0, 1), (1, 0)] if traffic.both_ways else [(0, 1)]
        senders = [row for way in ways for row in self._senders(way[0], interfaces[way[0]])]
        receivers = [row for way in ways for row in self._receivers(interfaces[way[1]])]
        self.c: Any = ffi.new("struct rings *")
        self.c.senders, self.c.sender_count = self._array("struct send_queue[]", senders)
        self.c.receivers, self.c.receiver_count = self._array("struct receive_queue[]", receivers)
        self.c.burst = traffic.burst
        self.c.arming = ARMED if traffic.armed else UNARMED
        host.fill(self.c)
        _checked(lib.rings_start(self.c))

    def run(self, requests: int) -> Took:
        """Sends that many work requests of each queue, and waits for their frames. Raises OSError:
        ETIMEDOUT, if nothing moves for seconds."""
        c, asked = self.c, requests * self.c.sender_count
        messages, work, interrupts = c.messages, c.work_ns, self.host.interrupts()
        took = _checked(lib.rings_run(c, requests, asked * self.traffic.received))
        return Took(
            frames=asked * self.traffic.frames,
            seconds=took / 1e9,
            engine=(c.work_ns - work) / 1e9,
            messages=c.messages - messages,
            interrupts=self.host.interrupts() - interrupts,
        )

    def knock(self, n: int) -> float:
        """Rings a doorbell `n` times for nothing; returns seconds."""
        return _checked(lib.rings_knock(self.c, n)) / 1e9

    def copy(self, frames: int) -> float:
        """Copies the bytes of that many frames with memcpy(), from where packets are to where the
        frames go; returns seconds."""
        memory, length = self.host.memory.c.bytes, self.traffic.frame_bytes
        room, into = FLOWS * PACKET_ROOM, self.c.receivers[0].buffers
        took = lib.rings_copy(memory, room, memory + into, BUFFERS * BUFFER, length, frames)
        return _checked(took) / 1e9

    def buffer(self, receiver: int, index: int, length: int) -> bytes:
        """Returns the first bytes of a queue's buffer."""
        at = self.c.receivers[receiver].buffers + index * BUFFER
        return bytes(ffi.buffer(self.host.memory.c.bytes + at, length))

    # What a driver does before frames flow

    def _up(self, port: int) -> int:
        """Brings a port up; returns its interface."""
        asked = PortInfo32(read=1, portid=port, action=PortAction.GET_PORT_INFO32)
        caps = self.call(asked).acaps32
        action = PortAction.L1_CFG32
        self.call(PortL1Config32(exec=1, portid=port, action=action, rcap32=caps))
        viid = int(self.call(Vi(alloc=1, exec=1, portid=port)).viid)
        self.call(ViRxmode(viid=viid, mtu=9000, promiscen=int(self.traffic.delivered)))
        self.call(ViEnable(viid=viid, ien=1, een=1))
        return viid

    def _senders(self, port: int, viid: int) -> Iterator[dict[str, Any]]:
        for number in range(self.traffic.queues):
            ring = self._ring(SENT)
            asked = EqEth(
                alloc=1, eqstart=1, hostfcmode=2, cidxfthresh=5, eqsize=SENT + 1,
                eqaddr=BASE + ring, autoequeqe=1, viid=viid,
            )  # fmt: skip
            queue = self.call(asked).eqid
            requests = [self._request(port, number * FLOWS + flow) for flow in range(FLOWS)]
            kept = ffi.new("uint8_t[]", b"".join(requests))
            self._kept.append(kept)
            yield {
                "doorbell": doorbell(queue, "KDOORBELL"),
                "ring": ring,
                "entries": SENT,
                "requests": kept,
                "request_count": FLOWS,
                "descriptors": len(requests[0]) // DESCRIPTOR,
            }

    def _request(self, port: int, flow: int) -> bytes:
        """Returns a work request; its packet is in memory."""
        data, place = packet(self.traffic, flow), None
        if needs_memory(self.traffic):
            place = self._place(PACKET_ROOM)
            self.host.memory.put(place, data)
        return request(self.traffic, port, data, None if place is None else BASE + place)

    def _receivers(self, viid: int) -> list[dict[str, Any]]:
        """Makes the queues of an interface, and spreads its frames over them."""
        made = [self._receiver(viid) for _ in range(self.traffic.queues)]
        for first in range(0, RSS_ENTRIES, RSS_ROW):
            row = {f"iq{n}": made[(first + n) % len(made)][0] for n in range(RSS_ROW)}
            self.call(RssIndTbl(write=1, viid=viid, niqid=RSS_ROW, startidx=first, **row))
        self.call(RssViConfig(write=1, viid=viid, defaultq=made[0][0], ip4fourtupen=1, udpen=1))
        return [row for _, row in made]

    def _receiver(self, viid: int) -> tuple[int, dict[str, Any]]:
        ring, pointers = self._ring(RECEIVED), self._ring(UNITS)
        buffers = self._place(BUFFERS * BUFFER)
        addresses = (BASE + buffers + n * BUFFER for n in range(BUFFERS))
        words = [address | BUFFER_SIZE for address in addresses]
        self.host.memory.put(pointers, struct.pack(f">{BUFFERS}Q", *words))
        self._vector += 1
        asked = Iq(
            alloc=1, iqstart=1, iqanud=1, iqandstindex=self._vector, viid=viid,
            iqintcntthresh=2, iqesize=2, iqsize=RECEIVED + 1, iqaddr=BASE + ring,
            fl0size=UNITS + 1, fl0addr=BASE + pointers, fl0packen=1, fl0paden=1,
        )  # fmt: skip
        reply = self.call(asked)
        return reply.iqid, {
            "gts": doorbell(reply.iqid, "GTS"),
            "doorbell": doorbell(reply.fl0id, "KDOORBELL"),
            "ring": ring,
            "buffers": buffers,
            "entries": RECEIVED,
            "generation": 1,
            "units": UNITS,
            "buffer_bytes": BUFFER,
            "align": self._alignment(),
        }

    def _alignment(self) -> int:
        """Returns the alignment of frames in a buffer, in bytes (t4_fl_pkt_align())."""
        r, read = T6.r, self.host.io.read
        pad = r.SGE_CONTROL.get(read(r.SGE_CONTROL), "IngPadBoundary")
        pack = r.SGE_CONTROL2.get(read(r.SGE_CONTROL2), "IngPackBoundary")
        return int(max(8 << pad, 32 << pack if pack else 16))

    def _place(self, size: int) -> int:
        """Returns the offset of memory that is used for nothing else."""
        at, self._next = self._next, -(-(self._next + size) // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._next > SIZE:
            raise MemoryError(f"{exact(self._next, 'byte')} of shared memory")
        return at

    def _ring(self, entries: int) -> int:
        """Returns the offset of a ring of zeros, with its status page or entry."""
        size = (entries + 1) * DESCRIPTOR
        at = self._place(size)
        self.host.memory.put(at, bytes(size))
        return at

    def _array(self, kind: str, rows: list[dict[str, Any]]) -> tuple[Any, int]:
        array = ffi.new(kind, rows)
        self._kept.append(array)
        return array, len(rows)


def doorbell(queue: int, name: str) -> int:
    """Returns where a queue's doorbell is in BAR2: eight queues share a page."""
    return (queue >> 3) * 4096 + (queue & 7) * USER_DOORBELL["SIZE"] + USER_DOORBELL[name]


def _checked(code: int) -> int:
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return int(code)
