"""DEVICE_SET_IRQS.

Interrupts are raised by the client's own triggers, since nobody knows when a device raises one.
"Not all interrupt types support every combination of data and action flags": a server that refuses
triggers does not offer what they would show.
"""

from __future__ import annotations

import os
import select

from .. import protocol
from ..device import Irq
from ..protocol import Command, IrqFlag, IrqIndex, IrqSet
from .check import Fails, NotOffered, Section, Session, check

EVENTFD = IrqSet.DATA_EVENTFD | IrqSet.ACTION_TRIGGER
NONE = IrqSet.DATA_NONE | IrqSet.ACTION_TRIGGER
BOOL = IrqSet.DATA_BOOL | IrqSet.ACTION_TRIGGER


def request(flags: int, index: int, start: int, count: int, data: bytes = b"") -> bytes:
    """Returns the payload of a DEVICE_SET_IRQS."""
    size = protocol.IRQ_SET.size + len(data)
    return protocol.IRQ_SET.pack(size, flags, index, start, count) + data


def offered(session: Session, vectors: int = 1) -> list[Irq]:
    """Returns the device's indexes of INTx, MSI and MSI-X with at least as many vectors."""
    found = [
        irq
        for irq in session.irqs[: IrqIndex.MSIX + 1]
        if irq.count >= vectors and irq.flags & IrqFlag.EVENTFD
    ]
    if not found:
        raise NotOffered(f"no interrupt index has {vectors} or more vectors and eventfds")
    return found


def attach(session: Session, index: int, vector: int) -> int:
    """Attaches a new eventfd to a vector and returns it. Raises Fails."""
    fd = session.eventfd()
    what = f"an eventfd for vector {vector} of {IrqIndex(index).name}"
    session.accept(Command.DEVICE_SET_IRQS, request(EVENTFD, index, vector, 1), [fd], what)
    return fd


def trigger(session: Session, index: int, vector: int) -> None:
    """Triggers a vector as the client. Raises NotOffered."""
    if session.ask(Command.DEVICE_SET_IRQS, request(NONE, index, vector, 1)).refused:
        raise NotOffered("the server refuses triggers by the client")


def detach(session: Session, index: int) -> None:
    """Detaches all eventfds of an index. Raises Fails."""
    what = f"disabling {IrqIndex(index).name}"
    session.accept(Command.DEVICE_SET_IRQS, request(NONE, index, 0, 0), what=what)


def is_signalled(fd: int, seconds: float) -> bool:
    """Waits for an eventfd and empties it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(seconds * 1000):
        return False
    os.eventfd_read(fd)
    return True


@check(Section.IRQS)
def eventfd_is_signalled(session: Session) -> None:
    """A trigger signals the eventfd that is attached to the vector."""
    for irq in offered(session):
        for vector in sorted({0, irq.count - 1}):
            fd = attach(session, irq.index, vector)
            trigger(session, irq.index, vector)
            if not is_signalled(fd, session.target.deadline):
                raise Fails(f"vector {vector} of {IrqIndex(irq.index).name} is not signalled")
        detach(session, irq.index)


@check(Section.IRQS)
def eventfd_is_replaced(session: Session) -> None:
    """A second eventfd for a vector replaces the first."""
    index = offered(session)[-1].index
    first, second = attach(session, index, 0), attach(session, index, 0)
    trigger(session, index, 0)
    if not is_signalled(second, session.target.deadline):
        raise Fails("the second eventfd is not signalled")
    if is_signalled(first, 0):
        raise Fails("the first eventfd is still signalled")
    detach(session, index)


@check(Section.IRQS)
def several_eventfds(session: Session) -> None:
    """One message attaches eventfds to several vectors, in order."""
    index = offered(session, 2)[-1].index
    fds = [session.eventfd(), session.eventfd()]
    session.accept(Command.DEVICE_SET_IRQS, request(EVENTFD, index, 0, 2), fds, "two eventfds")
    for vector, other in ((1, 0), (0, 1)):
        trigger(session, index, vector)
        if not is_signalled(fds[vector], session.target.deadline):
            raise Fails(f"vector {vector} is not signalled")
        if is_signalled(fds[other], 0):
            raise Fails(f"vector {other} is signalled for {vector}")
    detach(session, index)


@check(Section.IRQS)
def triggers_by_booleans(session: Session) -> None:
    """A trigger with booleans signals only the vectors that are true."""
    index = offered(session, 2)[-1].index
    fds = [attach(session, index, vector) for vector in (0, 1)]
    if session.ask(Command.DEVICE_SET_IRQS, request(BOOL, index, 0, 2, b"\0\1")).refused:
        raise NotOffered("the server refuses triggers by the client with booleans")
    if not is_signalled(fds[1], session.target.deadline):
        raise Fails("the vector that is true is not signalled")
    if is_signalled(fds[0], 0):
        raise Fails("the vector that is false is signalled")
    detach(session, index)


@check(Section.IRQS)
def index_is_disabled(session: Session) -> None:
    """A count of 0 without data disables all vectors of an index."""
    for irq in offered(session):
        fd = attach(session, irq.index, irq.count - 1)
        detach(session, irq.index)
        trigger(session, irq.index, irq.count - 1)
        if is_signalled(fd, 0):
            raise Fails(f"{IrqIndex(irq.index).name} is signalled after it was disabled")


@check(Section.IRQS)
def vector_is_detached(session: Session) -> None:
    """Eventfds without descriptors detach the vectors that the message names, and no others."""
    irq = offered(session, 2)[-1]
    last = irq.count - 1
    fds = {vector: attach(session, irq.index, vector) for vector in (0, last)}
    asked = request(EVENTFD, irq.index, last, 1)
    session.accept(Command.DEVICE_SET_IRQS, asked, what="detaching the last vector")
    for vector in (last, 0):
        trigger(session, irq.index, vector)
    if is_signalled(fds[last], 0):
        raise Fails(f"vector {last} is signalled after it was detached")
    if not is_signalled(fds[0], session.target.deadline):
        raise Fails("vector 0 is detached, too")
    detach(session, irq.index)


@check(Section.IRQS)
def vectors_out_of_bounds(session: Session) -> None:
    """Vectors that the index does not have are refused."""
    for irq in offered(session):
        last = irq.count - 1
        for start, count in ((irq.count, 1), (last, 2), (0xFFFFFFFF, 1), (1, 0xFFFFFFFF)):
            what = f"{count} vectors from {start} on, of {irq.count}"
            session.refuse(Command.DEVICE_SET_IRQS, request(NONE, irq.index, start, count), what)
            fds = [session.eventfd()]
            payload = request(EVENTFD, irq.index, start, count)
            session.refuse(Command.DEVICE_SET_IRQS, payload, f"an eventfd for {what}", fds)


@check(Section.IRQS)
def interrupt_indexes_out_of_bounds(session: Session) -> None:
    """An interrupt index that does not exist is refused."""
    for index in (session.device.irqs, 0xFFFFFFFF):
        what = f"interrupt index {index}"
        session.refuse(Command.DEVICE_SET_IRQS, request(NONE, index, 0, 1), what)


@check(Section.IRQS)
def flags_exclude_each_other(session: Session) -> None:
    """Flags for two kinds of data, for two actions, or for none are refused."""
    index = offered(session)[0].index
    for flags in (
        IrqSet.DATA_NONE | IrqSet.DATA_BOOL | IrqSet.ACTION_TRIGGER,
        IrqSet.DATA_NONE | IrqSet.ACTION_MASK | IrqSet.ACTION_TRIGGER,
        IrqSet.DATA_NONE,
        IrqSet.ACTION_TRIGGER,
    ):
        payload = request(flags, index, 0, 1, b"\1")
        session.refuse(Command.DEVICE_SET_IRQS, payload, f"flags of {int(flags):#x}")


@check(Section.IRQS)
def descriptors_match_their_count(session: Session) -> None:
    """A number of eventfds other than the count is refused."""
    irq = offered(session)[-1]
    fds = [session.eventfd(), session.eventfd()]
    payload = request(EVENTFD, irq.index, 0, 1)
    session.refuse(Command.DEVICE_SET_IRQS, payload, "two eventfds for one vector", fds)


@check(Section.IRQS)
def booleans_match_their_count(session: Session) -> None:
    """A number of booleans other than the count is refused."""
    index = offered(session)[-1].index
    for data in (b"", b"\1\1"):
        payload = request(BOOL, index, 0, 1, data)
        session.refuse(Command.DEVICE_SET_IRQS, payload, f"{len(data)} booleans for one vector")
