"""DMA_MAP and DMA_UNMAP.

Whether a server has let go of memory is seen from outside: the kernel refuses to seal a memfd
against writes as long as somebody has a writable mapping of it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import time

from .. import protocol
from ..protocol import Command, DmaFlag, UnmapFlag
from .check import Fails, NotOffered, Section, Session, check

ADDRESS, SIZE = 0x10000000, 4 * mmap.PAGESIZE
BOTH = DmaFlag.READ | DmaFlag.WRITE


def map_memory(
    session: Session, fds: list[int], address: int = ADDRESS, size: int = SIZE, offset: int = 0
) -> None:
    """Shares memory with the server. Raises Fails."""
    session.accept(Command.DMA_MAP, _map(address, size, offset), fds, f"memory at {address:#x}")


def unmap(session: Session, address: int = ADDRESS, size: int = SIZE) -> None:
    """Ends the sharing, and verifies the reply. Raises Fails."""
    asked = _unmap(address, size)
    reply = session.accept(Command.DMA_UNMAP, asked, what=f"unmapping {address:#x}")
    if reply.payload[4:] != asked[4:]:
        raise Fails(f"the reply to DMA_UNMAP has {len(reply.payload)} bytes, not the request's 24")


def is_released(fd: int) -> bool:
    """Returns whether nobody has a writable mapping of a memfd. It is sealed afterwards."""
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def is_released_soon(session: Session, fd: int) -> bool:
    """Waits until a memfd is released, within the deadline."""
    end = time.monotonic() + session.target.deadline
    while not is_released(fd):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def require_dma(session: Session) -> None:
    """Raises NotOffered if the server forgets memory as soon as it is mapped."""
    map_memory(session, [session.memory(SIZE)])
    if session.ask(Command.DMA_MAP, _map(ADDRESS + mmap.PAGESIZE, SIZE)).refused:
        unmap(session)
        return
    reply = session.ask(Command.DMA_UNMAP, _unmap(ADDRESS, SIZE))
    session.disconnect()
    if not reply.refused and not reply.payload:
        raise NotOffered("the device does no DMA: the server accepts everything and keeps nothing")


def _map(address: int, size: int, offset: int = 0, flags: int = BOTH) -> bytes:
    return protocol.DMA_MAP.pack(protocol.DMA_MAP.size, flags, offset, address, size)


def _unmap(address: int, size: int, flags: int = 0) -> bytes:
    return protocol.DMA_UNMAP.pack(protocol.DMA_UNMAP.size, flags, address, size)


@check(Section.DMA)
def memory_is_mapped_and_unmapped(session: Session) -> None:
    """Memory with a descriptor is accepted; the reply to DMA_UNMAP repeats the request."""
    require_dma(session)
    map_memory(session, [session.memory(SIZE)])
    unmap(session)


@check(Section.DMA)
def memory_without_descriptor(session: Session) -> None:
    """Memory without a descriptor is accepted: the server reaches it by messages."""
    require_dma(session)
    map_memory(session, [])
    unmap(session)


@check(Section.DMA)
def memory_at_an_offset(session: Session) -> None:
    """Memory may begin at any page of its file."""
    require_dma(session)
    map_memory(session, [session.memory(2 * SIZE)], offset=SIZE)
    unmap(session)


@check(Section.DMA)
def memory_is_released(session: Session) -> None:
    """All references to memory are released before the reply to DMA_UNMAP."""
    require_dma(session)
    fd = session.memory(SIZE)
    map_memory(session, [fd])
    unmap(session)
    if not is_released(fd):
        raise Fails("the server still has the memory mapped after its reply")


@check(Section.DMA)
def memory_is_mapped_once(session: Session) -> None:
    """Mapping a mapped region again is refused with EEXIST."""
    require_dma(session)
    fd = session.memory(SIZE)
    map_memory(session, [fd])
    try:
        what = "the same memory again"
        session.refuse(Command.DMA_MAP, _map(ADDRESS, SIZE), what, [fd], errno.EEXIST)
    finally:
        unmap(session)


@check(Section.DMA)
def memory_overlaps(session: Session) -> None:
    """Mapping over a part of a mapped region is refused with EEXIST."""
    require_dma(session)
    fd = session.memory(SIZE)
    map_memory(session, [fd])
    try:
        for address, size in ((ADDRESS + mmap.PAGESIZE, mmap.PAGESIZE), (ADDRESS - SIZE, 2 * SIZE)):
            other = session.memory(size)
            what = f"memory at {address:#x} over some at {ADDRESS:#x}"
            session.refuse(Command.DMA_MAP, _map(address, size), what, [other], errno.EEXIST)
    finally:
        unmap(session)


@check(Section.DMA)
def unmapping_what_is_not_mapped(session: Session) -> None:
    """Unmapping memory that is not mapped is refused."""
    require_dma(session)
    session.refuse(Command.DMA_UNMAP, _unmap(ADDRESS, SIZE), "unmapping what is not mapped")


@check(Section.DMA)
def unmapping_a_part(session: Session) -> None:
    """Unmapping takes address and size of a mapping, no part of one."""
    require_dma(session)
    map_memory(session, [session.memory(SIZE)])
    half = SIZE // 2
    try:
        for address, size in ((ADDRESS, half), (ADDRESS + half, half), (ADDRESS, 2 * SIZE)):
            what = f"unmapping {size:#x} bytes at {address:#x} of a mapping of {SIZE:#x}"
            session.refuse(Command.DMA_UNMAP, _unmap(address, size), what)
    finally:
        unmap(session)


@check(Section.DMA)
def unmapping_everything(session: Session) -> None:
    """The flag for all regions unmaps all of them."""
    require_dma(session)
    fds = [session.memory(SIZE) for _ in range(3)]
    for at, fd in enumerate(fds):
        map_memory(session, [fd], ADDRESS + at * SIZE)
    what = "unmapping all regions"
    session.accept(Command.DMA_UNMAP, _unmap(0, 0, UnmapFlag.ALL), what=what)
    if not all(is_released(fd) for fd in fds):
        raise Fails("the server still has some memory mapped after its reply")


@check(Section.DMA)
def unmapping_everything_somewhere(session: Session) -> None:
    """The flag for all regions is refused with an address or a size."""
    require_dma(session)
    for address, size in ((ADDRESS, 0), (0, SIZE)):
        what = f"unmapping all regions at {address:#x} of {size:#x} bytes"
        session.refuse(Command.DMA_UNMAP, _unmap(address, size, UnmapFlag.ALL), what)


@check(Section.DMA, alone=True)
def memory_of_impossible_size(session: Session) -> None:
    """Memory that ends beyond the last address ends neither the server nor its service."""
    require_dma(session)
    fd = session.memory(SIZE)
    for address, size in ((0, 0), ((1 << 64) - SIZE, 2 * SIZE), (ADDRESS, (1 << 64) - SIZE)):
        session.ask(Command.DMA_MAP, _map(address, size), [fd])


@check(Section.DMA, alone=True)
def memory_beyond_its_file(session: Session) -> None:
    """Memory that is longer than its file ends neither the server nor its service."""
    require_dma(session)
    session.ask(Command.DMA_MAP, _map(ADDRESS, 16 * SIZE), [session.memory(SIZE)])
