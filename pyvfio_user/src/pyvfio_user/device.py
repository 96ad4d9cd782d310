"""What a server says of its device: regions, the parts of them that can be mapped, interrupts."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

from . import protocol
from .protocol import RegionFlag


@dataclass(frozen=True)
class Area:
    """The part of a region that can be mapped: `length` bytes at `offset` of the region.

    They stand at `fd_offset` of a file. All three are multiples of the page size.
    """

    fd: int
    fd_offset: int
    offset: int
    length: int


@dataclass(frozen=True)
class Region:
    """A device's region, such as a BAR."""

    index: int
    size: int
    flags: RegionFlag
    areas: tuple[Area, ...] = ()


@dataclass(frozen=True)
class Irq:
    """An interrupt index (see IrqIndex), VFIO_IRQ_INFO_* flags, and how many vectors it has."""

    index: int
    flags: int
    count: int


@dataclass(frozen=True)
class DeviceInfo:
    """VFIO_DEVICE_FLAGS_* and how many regions and interrupt indexes there are."""

    flags: int
    regions: int
    irqs: int


def parse_region(index: int, reply: bytes, fds: Sequence[int]) -> Region:
    """The region that a DEVICE_GET_REGION_INFO reply describes. Raises ValueError for nonsense."""
    if len(reply) < protocol.REGION_INFO.size:
        raise ValueError(f"{len(reply)} bytes, needs {protocol.REGION_INFO.size}")
    _, flags, told, cap_offset, size, offset = protocol.REGION_INFO.unpack_from(reply)
    if told != index:
        raise ValueError(f"it is about region {told}")
    areas = protocol.sparse_areas(reply, cap_offset if flags & RegionFlag.CAPS else 0)
    if not areas and flags & RegionFlag.MMAP and fds:
        areas = [(0, size)]
    known = RegionFlag.READ | RegionFlag.WRITE | RegionFlag.MMAP | RegionFlag.CAPS
    return Region(index, size, RegionFlag(flags) & known, _place(areas, fds, size, offset))


def _place(
    areas: list[tuple[int, int]], fds: Sequence[int], size: int, offset: int
) -> tuple[Area, ...]:
    """Where in which file each area lies. Servers send a descriptor for each, or one for all."""
    if areas and len(fds) not in (1, len(areas)):
        raise ValueError(f"{len(fds)} descriptors for {len(areas)} mmap areas")
    for start, length in areas:
        if not length or start + length > size or (start | length) % mmap.PAGESIZE:
            raise ValueError(f"an mmap area at {start:#x} of {length:#x} bytes")
    return tuple(
        Area(fds[at % len(fds)], (offset + start) % (1 << 64), start, length)
        for at, (start, length) in enumerate(areas)
    )
