"""What all messages have in common: the header, errors, order, sizes."""

from __future__ import annotations

import os
import select
import time

from .. import protocol
from ..protocol import Command
from .check import Fails, Section, Session, check
from .wire import HEADER, NO_REPLY, REPLY, Broken, Closed, message

INFO = protocol.DEVICE_INFO.pack(protocol.DEVICE_INFO.size, 0, 0, 0)
SHORT = {
    Command.DMA_MAP: protocol.DMA_MAP.size,
    Command.DMA_UNMAP: protocol.DMA_UNMAP.size,
    Command.DEVICE_GET_INFO: protocol.DEVICE_INFO.size,
    Command.DEVICE_GET_REGION_INFO: protocol.REGION_INFO.size,
    Command.DEVICE_GET_IRQ_INFO: protocol.IRQ_INFO.size,
    Command.DEVICE_SET_IRQS: protocol.IRQ_SET.size,
    Command.REGION_READ: protocol.ACCESS.size,
    Command.REGION_WRITE: protocol.ACCESS.size,
}
"""The least bytes of each command's payload."""


@check(Section.MESSAGES)
def id_is_echoed(session: Session) -> None:
    """A reply has the id and the command of its request, whatever the id."""
    for identity in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
        session.wire.ask(Command.DEVICE_GET_INFO, INFO, identity=identity).close()


@check(Section.MESSAGES)
def ids_may_repeat(session: Session) -> None:
    """Ids belong to the sender, who may use one again while a request is open."""
    session.wire.send(message(Command.DEVICE_GET_INFO, INFO, identity=7) * 2)
    for _ in range(2):
        session.wire.answer(Command.DEVICE_GET_INFO, 7).close()


@check(Section.MESSAGES)
def pipelined_commands(session: Session) -> None:
    """A client may send commands without waiting for the replies to earlier ones."""
    ids = range(100, 132)
    batch = (message(Command.DEVICE_GET_INFO, INFO, identity=identity) for identity in ids)
    session.wire.send(b"".join(batch))
    for identity in ids:
        session.wire.answer(Command.DEVICE_GET_INFO, identity).close()


@check(Section.MESSAGES)
def no_reply_bit(session: Session) -> None:
    """A command with the No_reply bit gets no reply."""
    silent = message(Command.DEVICE_GET_INFO, INFO, identity=8, flags=NO_REPLY)
    session.wire.send(silent + message(Command.DEVICE_GET_INFO, INFO, identity=9))
    session.wire.answer(Command.DEVICE_GET_INFO, 9).close()


@check(Section.MESSAGES)
def no_reply_bit_of_an_error(session: Session) -> None:
    """A command with the No_reply bit gets no reply even if it is refused."""
    count = session.device.regions
    wrong = protocol.REGION_INFO.pack(32, 0, count + 1000, 0, 0, 0)
    silent = message(Command.DEVICE_GET_REGION_INFO, wrong, identity=8, flags=NO_REPLY)
    session.wire.send(silent + message(Command.DEVICE_GET_INFO, INFO, identity=9))
    session.wire.answer(Command.DEVICE_GET_INFO, 9).close()


@check(Section.MESSAGES)
def unknown_command(session: Session) -> None:
    """A command that the protocol does not have is refused, and the connection lives on."""
    session.refuse(0x7FFF, bytes(16), "command 32767")
    session.accept(Command.DEVICE_GET_INFO, INFO)


@check(Section.MESSAGES)
def commands_of_a_server(session: Session) -> None:
    """DMA_READ and DMA_WRITE, which only servers send, are refused."""
    for command in (Command.DMA_READ, Command.DMA_WRITE):
        session.refuse(command, bytes(16), command.name)


@check(Section.MESSAGES)
def short_payloads(session: Session) -> None:
    """A payload that is a byte too short is refused, whatever the command."""
    for command, size in SHORT.items():
        claimed = size.to_bytes(4, "little")  # argsz, where there is one
        session.refuse(command, (claimed + bytes(size))[: size - 1], f"a short {command.name}")


@check(Section.MESSAGES)
def missing_payloads(session: Session) -> None:
    """A command without the payload that it needs is refused."""
    for command in SHORT:
        session.refuse(command, b"", f"{command.name} without payload")


@check(Section.MESSAGES, alone=True)
def split_message(session: Session) -> None:
    """A message may arrive in pieces, since the socket is a stream of bytes."""
    whole = message(Command.DEVICE_GET_INFO, INFO, identity=5)
    for at in (3, HEADER.size, HEADER.size + 5):
        session.wire.send(whole[:at])
        time.sleep(0.05)  # the server sees the first piece alone
        session.wire.send(whole[at:])
        try:
            session.wire.answer(Command.DEVICE_GET_INFO, 5).close()
        except Broken as error:
            raise Fails(f"cut after {at} bytes: {error}") from error


def _refused_or_closed(session: Session, data: bytes, what: str) -> None:
    """Sends bytes that are no message. The server refuses them or closes the connection."""
    session.wire.send(data)
    session.wire.end_sending()
    try:
        reply = session.wire.receive()
    except Closed:
        return
    reply.close()
    if not reply.refused:
        raise Fails(f"{what} gets a reply that is no error")


@check(Section.MESSAGES, alone=True)
def size_below_the_header(session: Session) -> None:
    """A message that claims to be smaller than its header is refused, or ends the connection."""
    data = message(Command.DEVICE_GET_INFO, size=HEADER.size - 1)
    _refused_or_closed(session, data, "a message of 15 bytes")


@check(Section.MESSAGES, alone=True)
def size_zero(session: Session) -> None:
    """A message that claims to have no bytes is refused, or ends the connection."""
    _refused_or_closed(session, message(Command.DEVICE_GET_INFO, size=0), "a message of 0 bytes")


@check(Section.MESSAGES, alone=True)
def size_huge(session: Session) -> None:
    """A message that claims to have 4 GiB is refused, or ends the connection."""
    data = message(Command.REGION_WRITE, bytes(64), size=0xFFFFFFFF)
    _refused_or_closed(session, data, "a message of 4 GiB")


@check(Section.MESSAGES, alone=True)
def truncated_message(session: Session) -> None:
    """A client that leaves in the middle of a message is forgotten."""
    session.wire.send(message(Command.DEVICE_GET_INFO, INFO, size=HEADER.size + 64))
    session.wire.end_sending()
    if not session.wire.is_closed():
        raise Fails("the server does not close the connection")


@check(Section.MESSAGES, alone=True)
def truncated_header(session: Session) -> None:
    """A client that leaves in the middle of a header is forgotten."""
    session.wire.send(message(Command.DEVICE_GET_INFO, INFO)[:5])
    session.wire.end_sending()
    if not session.wire.is_closed():
        raise Fails("the server does not close the connection")


@check(Section.MESSAGES, alone=True)
def reply_to_no_request(session: Session) -> None:
    """A reply to a request that the server never sent is no command."""
    data = message(Command.DEVICE_GET_INFO, INFO, flags=REPLY)
    _refused_or_closed(session, data, "a reply to nothing")


@check(Section.MESSAGES, alone=True)
def second_version(session: Session) -> None:
    """A second VERSION ends neither the server nor its service to others."""
    try:
        session.wire.ask(Command.VERSION, session.target.version).close()
    except Closed:
        return


@check(Section.MESSAGES)
def unexpected_descriptors(session: Session) -> None:
    """Descriptors that a command has no use for are closed, so that clients cannot use them up."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        session.keep(reader)
        session.accept(Command.DEVICE_GET_INFO, INFO, [writer])
    finally:
        os.close(writer)
    poll = select.poll()
    poll.register(reader, 0)  # hang-up: no other end is left
    if not poll.poll(session.target.deadline * 1000):
        raise Fails("the server keeps the descriptor that came with DEVICE_GET_INFO")


@check(Section.MESSAGES, last=True)
def errors_are_headers(session: Session) -> None:
    """An error has nothing but a header. (What all checks before have seen.)"""
    if session.long_errors:
        raise Fails(", ".join(sorted(session.long_errors)))
