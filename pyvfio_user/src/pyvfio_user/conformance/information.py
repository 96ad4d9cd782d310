"""What a server says of its device: the device, its regions, interrupts, I/O descriptors."""

from __future__ import annotations

import mmap
import os

from .. import protocol
from ..protocol import Command, DeviceFlag, RegionFlag
from .check import Fails, NotOffered, Section, Session, check

BEYOND = (1, 1000, 0xFFFFFFFF)
"""Added to a count, or in the last case instead: indexes that cannot exist."""


def _missing(count: int) -> list[int]:
    return [min(count + beyond - 1, 0xFFFFFFFF) for beyond in BEYOND]


@check(Section.DEVICE)
def device_info(session: Session) -> None:
    """The device is a PCI device, with the nine regions of VFIO's or more."""
    info = session.device
    if not info.flags & DeviceFlag.PCI:
        raise Fails(f"the flags {info.flags:#x} do not have VFIO_DEVICE_FLAGS_PCI")
    if info.regions < 9:
        raise Fails(f"it has {info.regions} regions")


@check(Section.DEVICE)
def device_info_size(session: Session) -> None:
    """The argsz of a reply to DEVICE_GET_INFO is the size of its payload."""
    layout = protocol.DEVICE_INFO
    reply = session.accept(Command.DEVICE_GET_INFO, layout.pack(4096, 0, 0, 0))
    size = int.from_bytes(reply.payload[:4], "little")
    if size != len(reply.payload):
        raise Fails(f"argsz is {size}, the payload has {len(reply.payload)} bytes")


@check(Section.DEVICE)
def regions_are_described(session: Session) -> None:
    """Each region has a consistent description, and areas to map lie inside it on pages."""
    _ = session.regions


@check(Section.DEVICE)
def region_descriptors(session: Session) -> None:
    """A region that can be mapped comes with a file that has all of its areas."""
    found = False
    for index in range(len(session.regions)):
        region = session.region(index)
        if RegionFlag.MMAP not in region.flags:
            continue
        found = True
        if not region.areas:
            raise Fails(f"region {index} can be mapped, but no descriptor came")
        for area in region.areas:
            try:
                with mmap.mmap(area.fd, area.length, offset=area.fd_offset, prot=mmap.PROT_READ):
                    pass
            except (OSError, ValueError, OverflowError) as error:
                raise Fails(f"region {index}, the area at {area.offset:#x}: {error}") from error
            if os.fstat(area.fd).st_size < area.fd_offset + area.length:
                raise Fails(f"region {index}, the area at {area.offset:#x}: its file is shorter")
    if not found:
        raise NotOffered("no region can be mapped")


@check(Section.DEVICE)
def region_capabilities_need_room(session: Session) -> None:
    """If the capabilities of a region do not fit argsz, the reply tells the size that they need."""
    layout = protocol.REGION_INFO
    found = False
    for index, region in enumerate(session.regions):
        if RegionFlag.CAPS in region.flags:
            found = True
            reply = session.region_info(index)
            if len(reply.payload) > layout.size:
                raise Fails(f"region {index}: {len(reply.payload)} bytes, only 32 fit")
            if int.from_bytes(reply.payload[:4], "little") <= layout.size:
                raise Fails(f"region {index}: argsz does not tell what its capabilities need")
    if not found:
        raise NotOffered("no region has capabilities")


@check(Section.DEVICE)
def missing_regions(session: Session) -> None:
    """Information about a region that does not exist is refused."""
    for index in _missing(session.device.regions):
        request = protocol.REGION_INFO.pack(protocol.REGION_INFO.size, 0, index, 0, 0, 0)
        session.refuse(Command.DEVICE_GET_REGION_INFO, request, f"info of region {index}")


@check(Section.DEVICE)
def interrupts_are_described(session: Session) -> None:
    """Each interrupt index has a consistent description."""
    for irq in session.irqs:
        if irq.count > 2048:
            raise Fails(f"interrupt index {irq.index} has {irq.count} vectors, PCI at most 2048")


@check(Section.DEVICE)
def missing_interrupts(session: Session) -> None:
    """Information about an interrupt index that does not exist is refused."""
    for index in _missing(session.device.irqs):
        request = protocol.IRQ_INFO.pack(protocol.IRQ_INFO.size, 0, index, 0)
        session.refuse(Command.DEVICE_GET_IRQ_INFO, request, f"info of interrupt {index}")


@check(Section.DEVICE)
def region_io_descriptors(session: Session) -> None:
    """A region's I/O descriptors come with a consistent description."""
    layout, found = protocol.IO_FDS, False
    for index in range(len(session.regions)):
        request = layout.pack(4096, 0, index, 0)
        reply = session.ask(Command.DEVICE_GET_REGION_IO_FDS, request)
        if reply.refused:
            continue
        if len(reply.payload) < layout.size:
            raise Fails(f"region {index}: {len(reply.payload)} bytes, needs {layout.size}")
        size, flags, replied, count = layout.unpack_from(reply.payload)
        if flags or replied != index:
            raise Fails(f"region {index}: flags {flags:#x}, it describes region {replied}")
        if not count:
            continue
        found = True
        if not reply.fds or (size - layout.size) % count or len(reply.payload) != size:
            raise Fails(f"region {index}: {count} parts in {size} bytes, {len(reply.fds)} fds")
    if not found:
        raise NotOffered("no region has I/O descriptors")
