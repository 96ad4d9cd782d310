"""REGION_READ and REGION_WRITE.

Only config space is read inside its bounds, and only its interrupt line register is written: a
register without effect, which the check restores. BARs may do anything when they are read.
"""

from __future__ import annotations

from ..device import Region
from ..protocol import ACCESS, CONFIG_REGION, Capabilities, Command, RegionFlag
from .check import Fails, NotOffered, Section, Session, check
from .wire import NO_REPLY, Reply, message

INTERRUPT_LINE = 0x3C


def read(session: Session, offset: int, count: int) -> bytes:
    """Reads config space. Raises Fails."""
    asked = ACCESS.pack(offset, CONFIG_REGION, count)
    what = f"a read of {count} bytes at {offset:#x} of config space"
    reply = session.accept(Command.REGION_READ, asked, what=what)
    return _data(reply, asked, count, what)


def write(session: Session, offset: int, data: bytes) -> None:
    """Writes config space. Raises Fails."""
    asked = ACCESS.pack(offset, CONFIG_REGION, len(data))
    what = f"a write of {len(data)} bytes at {offset:#x} of config space"
    reply = session.accept(Command.REGION_WRITE, asked + data, what=what)
    _data(reply, asked, 0, what)


def _data(reply: Reply, asked: bytes, count: int, what: str) -> bytes:
    if len(reply.payload) != ACCESS.size + count:
        raise Fails(f"{what}: a reply of {len(reply.payload)} bytes, not {ACCESS.size + count}")
    if reply.payload[: ACCESS.size] != asked:
        raise Fails(f"{what}: the reply has another offset, region or count")
    return reply.payload[ACCESS.size :]


def _regions(session: Session, flag: RegionFlag) -> list[Region]:
    found = [region for region in session.regions if region.size and flag in region.flags]
    if not found:
        raise NotOffered(f"no region has the flag {flag.name}")
    return found


@check(Section.ACCESS)
def config_space_reads(session: Session) -> None:
    """A read's reply has the request's offset, region and count, and as many bytes."""
    session.readable()
    whole = read(session, 0, 64)
    for count in (1, 2, 4):
        for offset in range(0, 16, count):
            if read(session, offset, count) != whole[offset : offset + count]:
                raise Fails(f"{count} bytes at {offset:#x} are not those of a longer read")


@check(Section.ACCESS)
def config_space_has_ids(session: Session) -> None:
    """Config space can be read, and holds the ids of a device."""
    session.readable()
    if read(session, 0, 2) in (b"\0\0", b"\xff\xff"):
        raise Fails(f"the vendor id is {read(session, 0, 2)[::-1].hex()}")


@check(Section.ACCESS)
def config_space_writes(session: Session) -> None:
    """A write takes effect before its reply, which has its offset, region and count."""
    session.readable()
    before = read(session, INTERRUPT_LINE, 1)
    for value in (b"\x5a", b"\xa5", before):
        write(session, INTERRUPT_LINE, value)
        if read(session, INTERRUPT_LINE, 1) != value:
            raise Fails(f"the interrupt line does not keep {value.hex()}")


@check(Section.ACCESS)
def posted_writes_keep_their_order(session: Session) -> None:
    """A write with the No_reply bit has been done when the next command is replied to."""
    session.readable()
    before = read(session, INTERRUPT_LINE, 1)
    asked = ACCESS.pack(INTERRUPT_LINE, CONFIG_REGION, 1)
    values = [bytes([value]) for value in range(1, 17)]
    posted = (message(Command.REGION_WRITE, asked + v, flags=NO_REPLY) for v in values)
    session.wire.send(b"".join(posted))
    found = read(session, INTERRUPT_LINE, 1)
    write(session, INTERRUPT_LINE, before)
    if found != values[-1]:
        raise Fails(f"after 16 posted writes the register is {found.hex()}, not 10")


def _outside(region: Region) -> list[tuple[int, int]]:
    """Returns offsets and counts that are not inside a region."""
    return [
        (region.size, 1),
        (region.size - 1, 2),
        (region.size, 4),
        ((1 << 64) - 1, 1),
        ((1 << 64) - 4, 8),
        (1 << 63, 4),
    ]


@check(Section.ACCESS)
def reads_out_of_bounds(session: Session) -> None:
    """A read that is not inside its region is refused."""
    for region in _regions(session, RegionFlag.READ):
        for offset, count in _outside(region):
            what = f"a read of {count} bytes at {offset:#x} of region {region.index}"
            session.refuse(Command.REGION_READ, ACCESS.pack(offset, region.index, count), what)


@check(Section.ACCESS)
def writes_out_of_bounds(session: Session) -> None:
    """A write that is not inside its region is refused."""
    for region in _regions(session, RegionFlag.WRITE):
        for offset, count in _outside(region):
            what = f"a write of {count} bytes at {offset:#x} of region {region.index}"
            payload = ACCESS.pack(offset, region.index, count) + bytes(count)
            session.refuse(Command.REGION_WRITE, payload, what)


@check(Section.ACCESS)
def accesses_to_missing_regions(session: Session) -> None:
    """An access to a region that does not exist, or that has no bytes, is refused."""
    empty = [region.index for region in session.regions if not region.size]
    for index in (*empty, session.device.regions, 0xFFFF, 0xFFFFFFFF):
        asked = ACCESS.pack(0, index, 1)
        session.refuse(Command.REGION_READ, asked, f"a read of region {index}")
        session.refuse(Command.REGION_WRITE, asked + b"\0", f"a write to region {index}")


@check(Section.ACCESS)
def write_with_another_count(session: Session) -> None:
    """A write whose count is not the number of its bytes is refused."""
    session.readable()
    for count in (0, 2, 64, 0xFFFFFFFF):
        payload = ACCESS.pack(INTERRUPT_LINE, CONFIG_REGION, count) + b"\0"
        session.refuse(Command.REGION_WRITE, payload, f"a write of 1 byte with a count of {count}")


@check(Section.ACCESS)
def read_of_nothing(session: Session) -> None:
    """A read of 0 bytes is refused, or its reply has offset, region and count."""
    session.readable()
    asked = ACCESS.pack(0, CONFIG_REGION, 0)
    reply = session.ask(Command.REGION_READ, asked)
    if not reply.refused:
        _data(reply, asked, 0, "a read of 0 bytes")


@check(Section.ACCESS)
def read_beyond_the_limit(session: Session) -> None:
    """A read of more bytes than the server's max_data_xfer_size is refused."""
    session.readable()
    limit = Capabilities.parse(session.target.version).max_transfer
    for count in (limit + 1, 0xFFFFFFFF):
        asked = ACCESS.pack(0, CONFIG_REGION, min(count, 0xFFFFFFFF))
        session.refuse(Command.REGION_READ, asked, f"a read of {count} bytes")
