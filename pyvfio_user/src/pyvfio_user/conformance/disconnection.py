"""What a server keeps, and what it forgets, when its client leaves."""

from __future__ import annotations

from ..protocol import Command
from . import interrupts, memory
from .check import Fails, Section, Session, check


@check(Section.DISCONNECT, alone=True)
def next_client(session: Session) -> None:
    """The next client finds the same device."""
    before = session.device_again()
    session.reconnect()
    if session.device_again() != before:
        raise Fails("the next client is told of another device")


@check(Section.DISCONNECT, alone=True)
def memory_is_forgotten(session: Session) -> None:
    """A client's memory is unmapped when it leaves."""
    memory.require_dma(session)
    fd = session.memory(memory.SIZE)
    memory.map_memory(session, [fd])
    session.reconnect()
    if not memory.is_released_soon(session, fd):
        raise Fails("the server still has the memory of a client that left mapped")
    memory.map_memory(session, [session.memory(memory.SIZE)])
    memory.unmap(session)


@check(Section.DISCONNECT, alone=True)
def eventfds_are_forgotten(session: Session) -> None:
    """A client's eventfds are closed when it leaves."""
    index = interrupts.offered(session)[-1].index
    fd = interrupts.attach(session, index, 0)
    interrupts.trigger(session, index, 0)
    if not interrupts.is_signalled(fd, session.target.deadline):
        raise Fails("the eventfd is not signalled while its client is there")
    session.reconnect()
    session.ask(Command.DEVICE_SET_IRQS, interrupts.request(interrupts.NONE, index, 0, 1))
    if interrupts.is_signalled(fd, 0):
        raise Fails("the eventfd of a client that left is signalled")
