"""A server's description of its device: regions, their mappable areas, interrupts."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

from . import protocol
from .protocol import RegionFlag


@dataclass(frozen=True)
class Area:
    """A part of a region that can be mapped: `length` bytes at `offset` of the region.

    They are at `fd_offset` of a file. All three are multiples of the page size.
    """

    fd: int
    fd_offset: int
    offset: int
    length: int


@dataclass(frozen=True)
class Region:
    """A device's region, such as a BAR. `type`: type and subtype of a device-specific one."""

    index: int
    size: int
    flags: RegionFlag
    areas: tuple[Area, ...] = ()
    type: tuple[int, int] | None = None


@dataclass(frozen=True)
class Irq:
    """An interrupt index (see IrqIndex), its VFIO_IRQ_INFO_* flags, and its number of vectors."""

    index: int
    flags: int
    count: int


@dataclass(frozen=True)
class DeviceInfo:
    """VFIO_DEVICE_FLAGS_*, and the numbers of regions and interrupt indexes."""

    flags: int
    regions: int
    irqs: int


def parse_region(index: int, reply: bytes, fds: Sequence[int]) -> Region:
    """Parses a DEVICE_GET_REGION_INFO reply. Raises ValueError if it is malformed."""
    if len(reply) < protocol.REGION_INFO.size:
        raise ValueError(f"{len(reply)} bytes, needs {protocol.REGION_INFO.size}")
    _, flags, replied, cap_offset, size, offset = protocol.REGION_INFO.unpack_from(reply)
    if replied != index:
        raise ValueError(f"it describes region {replied}")
    areas, kind = capabilities(reply, cap_offset if flags & RegionFlag.CAPS else 0)
    if not areas and flags & RegionFlag.MMAP and fds:
        areas = [(0, size)]
    known = RegionFlag.READ | RegionFlag.WRITE | RegionFlag.MMAP | RegionFlag.CAPS
    files = _assign_files(areas, fds, size, offset)
    return Region(index, size, RegionFlag(flags) & known, files, kind)


def _assign_files(
    areas: list[tuple[int, int]], fds: Sequence[int], size: int, offset: int
) -> tuple[Area, ...]:
    """Assigns a file to each area. Servers send one descriptor for each, or one for all."""
    if areas and len(fds) not in (1, len(areas)):
        raise ValueError(f"{len(fds)} descriptors for {len(areas)} mmap areas")
    for start, length in areas:
        if not length or start + length > size or (start | length) % mmap.PAGESIZE:
            raise ValueError(f"an mmap area at {start:#x} of {length:#x} bytes")
    return tuple(
        Area(fds[at % len(fds)], (offset + start) % (1 << 64), start, length)
        for at, (start, length) in enumerate(areas)
    )


def capabilities(
    info: bytes, cap_offset: int
) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
    """Returns offset and size of each area to map, and the region's type if it has one.

    `info` is the whole reply, `cap_offset` the offset of its first capability. Raises ValueError
    if the capabilities leave the reply or form a loop.
    """
    areas: list[tuple[int, int]] = []
    kind: tuple[int, int] | None = None
    seen = 0
    while cap_offset:
        if cap_offset <= seen or cap_offset + protocol.CAPABILITY.size > len(info):
            raise ValueError(f"a capability at {cap_offset} of {len(info)} bytes")
        identity, _, following = protocol.CAPABILITY.unpack_from(info, cap_offset)
        at = cap_offset + protocol.CAPABILITY.size
        if identity == protocol.CAPABILITY_SPARSE_MMAP:
            areas += _areas(info, at)
        elif identity == protocol.CAPABILITY_TYPE:
            kind = _type(info, at)
        seen, cap_offset = cap_offset, following
    return areas, kind


def _type(info: bytes, at: int) -> tuple[int, int]:
    if at + protocol.REGION_TYPE.size > len(info):
        raise ValueError("a region type capability is cut off")
    kind, subtype = protocol.REGION_TYPE.unpack_from(info, at)
    return kind, subtype


def _areas(info: bytes, at: int) -> list[tuple[int, int]]:
    if at + protocol.SPARSE_MMAP.size > len(info):
        raise ValueError("a sparse mmap capability is cut off")
    count, _ = protocol.SPARSE_MMAP.unpack_from(info, at)
    at += protocol.SPARSE_MMAP.size
    if count * protocol.AREA.size > len(info) - at:
        raise ValueError(f"{count} mmap areas do not fit the reply")
    return list(protocol.AREA.iter_unpack(info[at : at + count * protocol.AREA.size]))
