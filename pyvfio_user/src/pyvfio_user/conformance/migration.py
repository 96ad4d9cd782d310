"""Reset, the migration region, and the log of dirty pages."""

from __future__ import annotations

import mmap

from .. import protocol
from ..protocol import ACCESS, Capabilities, Command, DeviceFlag, DirtyFlag
from . import memory
from .check import Fails, NotOffered, Section, Session, check

STOPPED, RUNNING, SAVING, RESUMING = 0, 1, 2, 4
STATE, PENDING, DATA_OFFSET, DATA_SIZE = 0, 8, 16, 24
ROUNDS = 64  # of data that a stopped device may hand over


@check(Section.RESET)
def reset(session: Session) -> None:
    """A device with the flag for it can be reset; the reply has no payload."""
    if not session.device.flags & DeviceFlag.RESET:
        raise NotOffered("the flags do not have VFIO_DEVICE_FLAGS_RESET")
    reply = session.accept(Command.DEVICE_RESET)
    if reply.payload:
        raise Fails(f"the reply has {len(reply.payload)} bytes")
    session.accept(Command.DEVICE_GET_INFO, protocol.DEVICE_INFO.pack(16, 0, 0, 0))


def _region(session: Session) -> int:
    """Returns the index of the migration region. Raises NotOffered."""
    for index, region in enumerate(session.regions):
        if region.type == protocol.MIGRATION_TYPE:
            return index
    raise NotOffered("no region has the type VFIO_REGION_TYPE_MIGRATION")


def _read(session: Session, region: int, offset: int, size: int) -> bytes:
    what = f"a read of {size} bytes at {offset:#x} of the migration region"
    reply = session.accept(Command.REGION_READ, ACCESS.pack(offset, region, size), what=what)
    return reply.payload[ACCESS.size :]


def _number(session: Session, region: int, offset: int, size: int = 8) -> int:
    return int.from_bytes(_read(session, region, offset, size), "little")


def _enter(session: Session, region: int, state: int) -> None:
    payload = ACCESS.pack(STATE, region, 4) + state.to_bytes(4, "little")
    session.accept(Command.REGION_WRITE, payload, what=f"the state {state:03b}")
    found = _number(session, region, STATE, 4)
    if found != state:
        raise Fails(f"the state is {found:03b} after {state:03b} was accepted")


@check(Section.MIGRATION)
def migration_begins_running(session: Session) -> None:
    """The device's state is running when nothing else was asked for."""
    state = _number(session, _region(session), STATE, 4)
    if state != RUNNING:
        raise Fails(f"the state is {state:03b}")


@check(Section.MIGRATION)
def migration_stops_and_runs(session: Session) -> None:
    """A device can be stopped and run again."""
    region = _region(session)
    _enter(session, region, STOPPED)
    _enter(session, region, RUNNING)


@check(Section.MIGRATION, alone=True)
def migration_saves(session: Session) -> None:
    """In stop-and-copy, the device hands over its data until none is pending."""
    region = _region(session)
    _enter(session, region, SAVING)
    limit = Capabilities.parse(session.target.version).max_transfer
    for _ in range(ROUNDS):
        if not _number(session, region, PENDING):
            break
        offset = _number(session, region, DATA_OFFSET)
        size = _number(session, region, DATA_SIZE)
        if offset + size > session.regions[region].size:
            raise Fails(f"{size} bytes of data at {offset:#x} leave the region")
        _read(session, region, offset, min(size, limit))
    else:
        raise Fails(f"data is still pending after {ROUNDS} rounds")
    _enter(session, region, RUNNING)


@check(Section.MIGRATION, alone=True)
def migration_refuses_invalid_states(session: Session) -> None:
    """A state that is not valid is refused, and the state stays as it was."""
    _refuses(session, RESUMING | RUNNING)


@check(Section.MIGRATION, alone=True)
def migration_refuses_unknown_states(session: Session) -> None:
    """A state with bits that the protocol does not have is refused."""
    _refuses(session, 0x10000000 | RUNNING)


def _refuses(session: Session, state: int) -> None:
    region = _region(session)
    payload = ACCESS.pack(STATE, region, 4) + state.to_bytes(4, "little")
    session.refuse(Command.REGION_WRITE, payload, f"the state {state:#x}")
    found = _number(session, region, STATE, 4)
    if found != RUNNING:
        raise Fails(f"the state is {found:03b} after {state:#x} was refused")


def _dirty(flags: int) -> bytes:
    return protocol.DIRTY_PAGES.pack(protocol.DIRTY_PAGES.size, flags)


def _bitmap(size: int) -> bytes:
    """Returns a request for the bitmap of all of `memory.SIZE`, of `size` bytes."""
    fixed = protocol.DIRTY_PAGES.size + protocol.BITMAP_RANGE.size + protocol.BITMAP.size
    return (
        protocol.DIRTY_PAGES.pack(fixed + size, DirtyFlag.GET_BITMAP)
        + protocol.BITMAP_RANGE.pack(memory.ADDRESS, memory.SIZE)
        + protocol.BITMAP.pack(mmap.PAGESIZE, size)
    )


@check(Section.MIGRATION, alone=True)
def dirty_pages(session: Session) -> None:
    """A log of dirty pages gives a bitmap of the memory that was asked for, until it is stopped."""
    asked = _bitmap(8)
    if session.ask(Command.DIRTY_PAGES, _dirty(DirtyFlag.START)).refused:
        raise NotOffered("the server logs no dirty pages")
    memory.require_dma(session)
    session.ask(Command.DIRTY_PAGES, _dirty(DirtyFlag.START))
    memory.map_memory(session, [session.memory(memory.SIZE)])
    reply = session.accept(Command.DIRTY_PAGES, asked, what="a request for the bitmap")
    if len(reply.payload) != len(asked) + 8 or reply.payload[8 : len(asked)] != asked[8:]:
        raise Fails(f"the bitmap's reply has {len(reply.payload)} bytes or another range")
    session.accept(Command.DIRTY_PAGES, _dirty(DirtyFlag.STOP), what="the log's end")
    session.refuse(Command.DIRTY_PAGES, asked, "a request for the bitmap without a log")
    memory.unmap(session)


@check(Section.MIGRATION, alone=True)
def dirty_pages_flags(session: Session) -> None:
    """Two flags of DIRTY_PAGES exclude each other."""
    if session.ask(Command.DIRTY_PAGES, _dirty(DirtyFlag.START)).refused:
        raise NotOffered("the server logs no dirty pages")
    both = _dirty(DirtyFlag.START | DirtyFlag.STOP)
    session.refuse(Command.DIRTY_PAGES, both, "a log that starts and stops")
