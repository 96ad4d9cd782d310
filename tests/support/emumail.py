"""A driver's end of the mailbox, as in t4_wr_mbox_meat_timeout()."""

from __future__ import annotations

from typing import TypeVar

from vmcoredd.chip.firmware import MAILBOX_BYTES, Dev, FwCommand, Params, Pf, param
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card

C = TypeVar("C", bound=FwCommand)
FW, DRV, VALID = 1, 2, 8


class NoReply(Exception):
    """The firmware did not reply within the allowed polls."""


class Mailbox:
    """The mailbox of a function; `call()` executes one command."""

    def __init__(self, card: Card, pf: int = PF) -> None:
        self.card = card
        self.ctrl = card.chip.r.CIM_PF_MAILBOX_CTRL[pf]
        self.data = int(card.chip.r.instances("CIM_PF_MAILBOX_DATA")[pf])
        self.polls = 0

    def owner(self) -> int:
        """Polls the control register, which claims an idle mailbox."""
        return self.card.read(self.ctrl) & 3

    def send(self, data: bytes) -> None:
        """Writes a command and gives the mailbox to the firmware."""
        for i in range(0, len(data), 8):
            flit = int.from_bytes(data[i : i + 8], "big")
            self.card.write(self.data + i, flit, width=8)
        self.card.write(self.ctrl, VALID | FW)

    def receive(self, polls: int = 20) -> bytes:
        """The reply; NoReply if there is none after `polls` polls."""
        for self.polls in range(1, polls + 1):
            if self.card.read(self.ctrl) & (VALID | 3) == VALID | DRV:
                flits = [self.card.read(self.data + i, 8) for i in range(0, MAILBOX_BYTES, 8)]
                self.card.write(self.ctrl, 0)
                return b"".join(flit.to_bytes(8, "big") for flit in flits)
        raise NoReply

    def exchange(self, data: bytes) -> bytes:
        """Sends a command and returns the reply, both as bytes."""
        assert self.owner() == DRV
        self.send(data)
        return self.receive()

    def call(self, command: C) -> C:
        """Executes a command; the reply, of the same class, has its `retval`."""
        return type(command).from_bytes(self.exchange(bytes(command)))

    def do(self, command: C) -> C:
        """Executes a command that must not be refused."""
        reply = self.call(command)
        assert reply.retval == 0, f"{command}: {reply.retval}"
        return reply

    def parameter(self, which: Dev | Pf, y: int = 0) -> int:
        """Reads a parameter."""
        return int(self.do(Params.reading([param(which, y)])).param[0].val)
