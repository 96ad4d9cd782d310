"""A fresh card whose driver has sent more than anyone reads: which queues have work is known."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from carddump import SMALL
from ramhost import RamHost
from stations import Station, frame
from txdriver import DESCRIPTOR, inline

from vmcoredd.chip.firmware import EqEth, Iq
from vmcoredd.emu import Card, Scene, wires
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.scenario import commands
from vmcoredd.emu.scenario.queues import Egress, Ingress

ENTRIES, SENT, TAKEN = 16, 20, 14
"""Of the small queue, whose last entry is a status page, and which takes one less than the rest."""
LENGTH, FCS = 60, 4
DESCRIPTORS = 2
"""Of a frame of LENGTH."""
ONLY_CIDX, LONGEST = 7, 5
"""What a doorbell of an ingress queue does with its interrupt: nothing, or arms it with the holdoff
timer of the last number."""


def fresh(name: str, **options: Any) -> Card:
    """Returns a card that nobody has used, with little memory unless `options` say otherwise."""
    return Card.load(name, scene=Scene.FRESH, **(SMALL | options))


class Driver(Station):
    """A driver whose ports 0 and 1 are wired to each other, with queues of firmware's."""

    def __init__(self, name: str, **options: Any) -> None:
        card = fresh(name, **options)
        wires.plug(["0=1"], {"": card})
        super().__init__(card)
        self.host = RamHost(card.core)
        self.up(0, 1)

    def receiver(self, port: int, units: int, entries: int = 1024) -> Iq:
        """Allocates an ingress queue with a free list, and gives the list units of 8 buffers."""
        ring, pointers = self.host.allocate(entries * 64), self.host.allocate(10 * 64)
        queue, free_list = Ingress(0, port, ring, 0, 0, 1, 5), Egress(0, port, 9, pointers, 0, 0, 0)
        command = commands.iq(self.card.chip, queue, free_list)
        command.viid, command.iqsize = self.interfaces[port], entries
        for slot in range(8 * 9):
            self.host.put(pointers + 8 * slot, struct.pack(">Q", self.host.allocate(4096)))
        reply: Iq = self.mail.do(command)
        self.give(reply, units)
        return reply

    def give(self, receiver: Iq, units: int) -> None:
        """Gives a free list units of 8 buffers."""
        lib.engine_kdoorbell(self.c, receiver.fl0id << 15 | units)
        self.engine.run()

    def sender(self, port: int) -> tuple[int, int]:
        """Allocates an Ethernet queue; returns its id and the address of its ring."""
        ring = self.host.allocate(1025 * DESCRIPTOR)
        command = commands.eq(self.card.chip, Egress(0, port, 1024, ring, 0, 0))
        assert isinstance(command, EqEth)
        command.viid = self.interfaces[port]
        return int(self.mail.do(command).eqid), ring

    def returned(self, queue: int, entries: int, timer: int = ONLY_CIDX) -> None:
        """Returns entries of an ingress queue to the card."""
        lib.engine_gts(self.c, queue << 16 | timer << 13 | entries)
        self.engine.run(self.c.now)


class Busy(Driver):
    """Sends more frames from port 0 than the queue of port 1 takes, of which nobody reads any."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sent, ring = self.sender(0)
        self.idle, _ = self.sender(1)
        self.full = self.receiver(1, units=1, entries=ENTRIES)
        self.quiet = self.receiver(0, units=8)
        self.receive_all(1, SimpleNamespace(number=self.full.iqid))  # type: ignore[arg-type]
        data = b"".join(inline(frame(LENGTH, n)).ljust(128, b"\0") for n in range(SENT))
        self.host.put(ring, data)
        lib.engine_kdoorbell(self.c, self.sent << 15 | DESCRIPTORS * SENT)
        self.engine.run()
