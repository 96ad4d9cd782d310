"""A driver's end of the mailbox, as t4_wr_mbox_meat_timeout() has it, for tests."""

from __future__ import annotations

from typing import TypeVar

from vmcoredd.chip.firmware import MAILBOX_BYTES, FwCommand
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card

C = TypeVar("C", bound=FwCommand)
FW, DRV, VALID = 1, 2, 8


class Silent(Exception):
    """The firmware did not answer within the looks allowed."""


class Mailbox:
    """The mailbox of a function; `call()` is one command."""

    def __init__(self, card: Card, pf: int = PF) -> None:
        self.card = card
        self.ctrl = card.chip.r.CIM_PF_MAILBOX_CTRL[pf]
        self.data = int(card.chip.r.instances("CIM_PF_MAILBOX_DATA")[pf])
        self.looks = 0

    def owner(self) -> int:
        """Looks at the control register; an idle mailbox is taken by that."""
        return self.card.read(self.ctrl) & 3

    def send(self, data: bytes) -> None:
        """Puts a command in and hands it over."""
        for i in range(0, len(data), 8):
            flit = int.from_bytes(data[i : i + 8], "big")
            self.card.write(self.data + i, flit, width=8)
        self.card.write(self.ctrl, VALID | FW)

    def receive(self, looks: int = 20) -> bytes:
        """The answer; Silent if there is none after so many looks."""
        for self.looks in range(1, looks + 1):
            if self.card.read(self.ctrl) & (VALID | 3) == VALID | DRV:
                flits = [self.card.read(self.data + i, 8) for i in range(0, MAILBOX_BYTES, 8)]
                self.card.write(self.ctrl, 0)
                return b"".join(flit.to_bytes(8, "big") for flit in flits)
        raise Silent

    def ask(self, data: bytes) -> bytes:
        """One command and its answer, as bytes."""
        assert self.owner() == DRV
        self.send(data)
        return self.receive()

    def call(self, command: C) -> C:
        """One command; the answer has the command's class, and its `retval`."""
        return type(command).from_bytes(self.ask(bytes(command)))

    def do(self, command: C) -> C:
        """One command that must not be refused."""
        answer = self.call(command)
        assert answer.retval == 0, f"{command}: {answer.retval}"
        return answer
