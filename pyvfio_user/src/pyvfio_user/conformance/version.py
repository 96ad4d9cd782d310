"""Version negotiation: the first message of a client, and its reply."""

from __future__ import annotations

import json

from ..protocol import MAJOR, MINOR, VERSION, Capabilities, Command
from .check import Fails, Section, Session, check
from .wire import Closed, Reply, message


def _propose(session: Session, payload: bytes) -> Reply:
    """Sends a version on a new connection and returns the reply. Raises Fails if it is refused."""
    reply = session.raw().ask(Command.VERSION, payload)
    if reply.refused:
        raise Fails(f"the server refuses it with error {reply.error}")
    if len(reply.payload) < VERSION.size:
        raise Fails(f"the reply has {len(reply.payload)} bytes, needs {VERSION.size}")
    return reply


def _must_not_accept(session: Session, command: int, payload: bytes, what: str) -> None:
    try:
        reply = session.raw().ask(command, payload)
    except Closed:
        return
    if not reply.refused:
        raise Fails(f"{what} is accepted")


def _offer(payload: bytes) -> dict[str, object]:
    """Returns the capabilities in a reply. Raises Fails."""
    text = payload[VERSION.size :]
    if not text:
        return {}
    if text[-1:] != b"\0":
        raise Fails("the version data does not end in NUL")
    try:
        document = json.loads(text[:-1])
    except (ValueError, RecursionError) as error:
        raise Fails(f"the version data is no JSON: {error}") from error
    offer = document.get("capabilities", {}) if isinstance(document, dict) else None
    if not isinstance(offer, dict):
        raise Fails("the version data is no object with capabilities")
    return offer


@check(Section.VERSION)
def version_reply(session: Session) -> None:
    """The reply has the proposed major version, no higher minor one, and well-formed JSON."""
    _ = session.wire
    try:
        Capabilities.parse(session.target.version)
    except ValueError as error:
        raise Fails(str(error)) from error
    _offer(session.target.version)


@check(Section.VERSION, alone=True)
def version_without_data(session: Session) -> None:
    """The version data is optional."""
    _propose(session, VERSION.pack(MAJOR, MINOR))


@check(Section.VERSION, alone=True)
def version_without_capabilities(session: Session) -> None:
    """In the version data, the capabilities are optional."""
    _propose(session, VERSION.pack(MAJOR, MINOR) + b"{}\0")


@check(Section.VERSION, alone=True)
def version_lower_minor(session: Session) -> None:
    """A server supports all lower minor versions, and replies with none higher than proposed."""
    reply = _propose(session, VERSION.pack(MAJOR, 0))
    if VERSION.unpack_from(reply.payload) != (MAJOR, 0):
        raise Fails("the reply to 0.0 is {}.{}".format(*VERSION.unpack_from(reply.payload)))


@check(Section.VERSION, alone=True)
def version_higher_minor(session: Session) -> None:
    """A client may propose a minor version that the server does not know."""
    reply = _propose(session, VERSION.pack(MAJOR, 0xFFFF))
    if VERSION.unpack_from(reply.payload)[0] != MAJOR:
        raise Fails("the reply to 0.65535 is {}.{}".format(*VERSION.unpack_from(reply.payload)))


@check(Section.VERSION, alone=True)
def version_other_major(session: Session) -> None:
    """A major version that the server does not support is not accepted."""
    _must_not_accept(session, Command.VERSION, VERSION.pack(0x7FFF, 0), "version 32767.0")


@check(Section.VERSION, alone=True)
def version_unknown_capability(session: Session) -> None:
    """A capability that the server does not know does no harm, and is not in its reply."""
    text = b'{"capabilities":{"max_msg_fds":8,"no_such_capability":{"x":[1]}}}\0'
    reply = _propose(session, VERSION.pack(MAJOR, MINOR) + text)
    if "no_such_capability" in _offer(reply.payload):
        raise Fails("the server claims to have no_such_capability")


@check(Section.VERSION, alone=True)
def version_subset(session: Session) -> None:
    """The server's capabilities are a subset of those proposed: no feature is added."""
    text = b'{"capabilities":{"max_msg_fds":8}}\0'
    offer = _offer(_propose(session, VERSION.pack(MAJOR, MINOR) + text).payload)
    if added := sorted({"migration", "write_multiple", "twin_socket"} & set(offer)):
        raise Fails(f"the client proposes no {added[0]}, but the server replies with it")


@check(Section.VERSION, alone=True)
def version_broken_data(session: Session) -> None:
    """Version data that is no JSON ends neither the server nor its service to others."""
    _must_not_accept(session, Command.VERSION, VERSION.pack(MAJOR, MINOR) + b"{\0", "'{' as data")


@check(Section.VERSION, alone=True)
def version_data_without_nul(session: Session) -> None:
    """Version data without its NUL ends neither the server nor its service to others."""
    text = b'{"capabilities":{"max_msg_fds":8}}'
    wire = session.raw()
    wire.send(message(Command.VERSION, VERSION.pack(MAJOR, MINOR) + text))
    wire.end_sending()
    if not wire.is_closed():
        raise Fails("the server does not close the connection of a client that has left")


@check(Section.VERSION, alone=True)
def version_deep_data(session: Session) -> None:
    """Version data with objects in thousands of objects ends neither the server nor its service."""
    text = b'{"capabilities":' + b'{"a":' * 2000 + b"1" + b"}" * 2001 + b"\0"
    try:
        session.raw().ask(Command.VERSION, VERSION.pack(MAJOR, MINOR) + text)
    except Closed:
        return


@check(Section.VERSION, alone=True)
def version_first(session: Session) -> None:
    """No other command is accepted before the version is negotiated."""
    request = b"\x10\0\0\0" + bytes(12)
    _must_not_accept(session, Command.DEVICE_GET_INFO, request, "DEVICE_GET_INFO before a version")
