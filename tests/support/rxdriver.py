"""A driver's end of a receive queue, with the rules of cxgb4's process_responses()."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from ramhost import RamHost

from vmcoredd.chip import Chip
from vmcoredd.chip.message_layouts import RssHeader, RxPkt
from vmcoredd.chip.messages import Response
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.core import Core
from vmcoredd.emu.engine import EgressKind, EgressRing, IngressRing
from vmcoredd.emu.engine.tables import InterfaceRow
from vmcoredd.emu.engine.trouble import Trouble

ENTRY, CONTROL, UNIT, POINTER = 64, 16, 8, 8
NEW_BUFFER = 1 << 31
NO_TIMER, ONLY_CIDX = 6, 7
DONE, HELD = 0, 1
VIID = 0x240
SIZE_INDEX = {4096: 0, 65536: 1, 1536: 2, 9024: 3}


class Got(NamedTuple):
    """A response."""

    type: int
    cpl: bytes
    word: int
    """pldbuflen_qid."""
    last: int
    """The last flit."""
    frame: bytes = b""

    @property
    def timestamp(self) -> int:
        return self.last & (1 << 60) - 1

    @property
    def new_buffer(self) -> bool:
        return bool(self.word & NEW_BUFFER)

    @property
    def rss(self) -> RssHeader:
        return RssHeader.from_bytes(self.cpl[:8])

    @property
    def packet(self) -> RxPkt:
        return RxPkt.from_bytes(self.cpl[8:24])


@dataclass
class _Buffer:
    address: int
    size: int


class Rig:
    """An engine without a card, with `ports` that have one interface each, which takes all frames.

    Interfaces are numbered from VIID on and use queue 33 + their number by default.
    """

    def __init__(self, chip: Chip, ports: int = 1) -> None:
        self.core = Core(chip, {0: 0x80000})
        self.host, self.engine, self.c = RamHost(self.core), self.core.engine, self.core.engine.c
        self.c.chip.core_clock_khz = 250_000
        self.now = 1_000_000
        self.troubles: list[Trouble] = []
        self.engine.listeners.append(self.troubles.append)
        for port in range(ports):
            self.interface(port, promiscuous=1)

    def interface(self, number: int = 0, **row: int) -> None:
        """Adds or changes an interface."""
        row = {"port": number, "default_queue": 33 + number, "receives": 1, **row}
        self.engine.show_interface(InterfaceRow(viid=VIID + number, pf=4, **row))

    def register(self, name: str, **fields: int) -> None:
        """Sets fields of a register."""
        self.core.spaces.put(self.core.spaces.r[name], **fields)

    def receive(self, data: bytes, port: int = 0, *, loopback: bool = False) -> int:
        """Offers a frame; returns the engine's verdict."""
        frame = ffi.new("struct frame *")
        kept = ffi.new("uint8_t[]", len(data))  # of exactly this size, for the sanitizers
        ffi.memmove(kept, data, len(data))
        frame.data, frame.length = kept, len(data)
        frame.loopback = loopback
        return int(lib.engine_receive(self.c, port, frame))

    def cpl(self, queue: int, data: bytes) -> int:
        """Puts a CPL into a queue; returns the engine's verdict."""
        return int(lib.engine_cpl(self.c, queue, data, len(data)))

    def run(self, nanoseconds: int = 0) -> list[int]:
        """Lets that much time pass and the engine run; returns the interrupts of this run."""
        self.now += nanoseconds
        before = len(self.host.interrupts)
        self.engine.run(self.now)
        return self.host.interrupts[before:]


class RxDriver:
    """An ingress queue and its free list, which is `units` of eight buffers of `size` bytes."""

    def __init__(
        self,
        host: RamHost,
        *,
        number: int = 33,
        free_list: int = 64,
        entries: int = 31,
        units: int = 9,
        size: int = 4096,
        packing: bool = True,
        vector: int = 2,
        threshold: int = 0,
        forwarded: int = 0,
    ) -> None:
        self.host, self.number, self.free_list = host, number, free_list
        self.vector = vector
        self.entries, self.units, self.size, self.packing = entries, units, size, packing
        self.address = host.allocate((entries + 1) * ENTRY)
        self.pointers = host.allocate((units + 1) * UNIT * POINTER)
        self.cidx, self.generation = 0, 1
        self.posted: list[_Buffer] = []
        self.freed: list[_Buffer] = []
        self.pidx, self.offset = 0, 0
        host.engine.start_ingress(
            number,
            IngressRing(
                pf=4, port=0, address=self.address, entries=entries, entry_bytes=ENTRY,
                interrupts=1, vector=vector, free_list=free_list, threshold=threshold,
                forwarded=forwarded,
            ),
        )  # fmt: skip
        host.engine.start_egress(
            free_list,
            EgressRing(
                kind=EgressKind.FREE_LIST, pf=4, port=0, address=self.pointers, entries=units,
                status_bytes=64, ingress=number, packing=int(packing), padding=int(packing),
            ),
        )  # fmt: skip

    @property
    def align(self) -> int:
        """t4_fl_pkt_align()."""
        core = self.host.core
        control, control2 = (
            core.spaces.get(core.spaces.r.SGE_CONTROL),
            core.spaces.get(core.spaces.r.SGE_CONTROL2),
        )
        pad = 1 << ((control >> 4 & 7) + self.host.c.chip.pad_shift)
        pack = control2 >> 16 & 7
        return max(pad, 32 << pack if pack else 16)

    # Buffers

    def post(self, units: int = 1, size: int | None = None) -> None:
        """Gives the card that many units of buffers."""
        size = self.size if size is None else size
        for _ in range(units):
            for slot in range(UNIT):
                buffer = self._buffer(size)
                place = self.pointers + (self.pidx * UNIT + slot) * POINTER
                self.host.put(place, struct.pack(">Q", buffer.address | SIZE_INDEX[size]))
                self.posted.append(buffer)
            self.pidx = (self.pidx + 1) % self.units
        self.host.c.egress[self.free_list].pidx = self.pidx
        self.host.c.pending = 1

    def could_post(self) -> bool:
        """Whether the card could have more buffers."""
        return (self.units - 1) * UNIT - len(self.posted) >= UNIT

    def _buffer(self, size: int) -> _Buffer:
        """Returns one that was used before, if there is one."""
        for buffer in self.freed:
            if buffer.size == size:
                self.freed.remove(buffer)
                return buffer
        return _Buffer(self.host.allocate(size), size)

    def _free(self) -> None:
        self.freed.append(self.posted.pop(0))

    def refill(self) -> None:
        """Gives the card buffers until the list has no unit to spare, as refill_fl() does."""
        free = (self.units - 1) * UNIT - len(self.posted)
        self.post(free // UNIT)

    # Responses

    def poll(self, budget: int = 1 << 30) -> list[Got]:
        """Takes the responses that are there, as process_responses() does."""
        got: list[Got] = []
        while len(got) < budget:
            entry = self.host.get(self.address + self.cidx * ENTRY, ENTRY)
            word, last = struct.unpack_from(">IQ", entry, ENTRY - CONTROL + 4)
            if last >> 63 != self.generation:
                break
            kind = last >> 60 & 3
            frame = self._gather(word) if kind == Response.FLBUF else b""
            got.append(Got(kind, entry[: ENTRY - CONTROL], word, last, frame))
            self.cidx += 1
            if self.cidx == self.entries:
                self.cidx, self.generation = 0, self.generation ^ 1
        return got

    def _gather(self, word: int) -> bytes:
        if word & NEW_BUFFER and self.offset > 0:
            self._free()
            self.offset = 0
        left, data = word & ~NEW_BUFFER, b""
        while True:
            buffer = self.posted[0]
            size = min(buffer.size, left)
            data += self.host.get(buffer.address + self.offset, size)
            left -= size
            if not left:
                break
            self._free()
        self.offset += -(-size // self.align) * self.align
        return data

    def gts(self, increment: int = 0, timer: int = NO_TIMER, *, count: bool = False) -> None:
        """Writes SGE_PF_GTS."""
        lib.engine_gts(self.host.c, self.number << 16 | timer << 13 | count << 12 | increment)
