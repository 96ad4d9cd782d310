"""The adapter's memories and their regions: the layout of MEMINFO, and lookups in it.

The kernel's arithmetic is reproduced, including its error: if a region extends beyond its memory,
its end relative to the memory's start is set to the memory's absolute end.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, LittleStruct, u32
from vmcoredd.chip.memory import MEMINFO_NAMES, REGIONS, MemoryId
from vmcoredd.cudbg.errors import Code, Status

HOLES = 3
"""Entries after the regions, for ends of memories."""


class Extent(LittleStruct):
    """struct cudbg_mem_desc. A memory's `limit` is its end; a region's, its last byte."""

    _fields_ = (("base", u32), ("limit", u32), ("idx", u32))


class Meminfo(LittleStruct):
    """struct cudbg_meminfo."""

    _fields_ = (
        ("avail", Extent * 4),
        ("mem", Extent * (len(REGIONS) + HOLES)),
        ("avail_c", u32),
        ("mem_c", u32),
        ("up_ram_lo", u32),
        ("up_ram_hi", u32),
        ("up_extmem2_lo", u32),
        ("up_extmem2_hi", u32),
        ("rx_pages_data", u32 * 3),
        ("tx_pages_data", u32 * 4),
        ("p_structs", u32),
        ("reserved", u32 * 12),
        ("port_used", u32 * 4),
        ("port_alloc", u32 * 4),
        ("loopback_used", u32 * 4),
        ("loopback_alloc", u32 * 4),
        ("p_structs_free_cnt", u32),
        ("free_rx_cnt", u32),
        ("free_tx_cnt", u32),
    )


_INDICES = {region.name: idx for idx, region in enumerate(REGIONS)}


class Span(NamedTuple):
    """A part of a memory, in bytes from its start; `end` is the last byte."""

    start: int
    end: int


def memory_of(info: Meminfo, chip: Chip, memory: MemoryId) -> Extent:
    """Returns a memory's extent; raises Status(-24) if absent (cudbg_meminfo_get_mem_index())."""
    name = chip.memory.types[memory].name if memory <= MemoryId.MC0 else memory.name
    memories: list[Extent] = info.avail[: info.avail_c]
    for extent in memories:
        if extent.idx < len(MEMINFO_NAMES) and MEMINFO_NAMES[extent.idx] == name:
            return extent
    raise Status(Code.ENTITY_NOT_FOUND)


def span_of(info: Meminfo, memory: Extent, region: str) -> Span | None:
    """Returns the part of `region` in `memory`; None if there is none (cudbg_get_mem_region(),
    cudbg_get_mem_relative())."""
    position = _position_of(info, _INDICES[region])
    if position is None:
        return None
    base, limit = info.mem[position].base, _limit(info, position)
    if (base < memory.base and limit < memory.base) or base > memory.limit:
        return None
    start = 0 if base < memory.base else base - memory.base
    end = memory.limit if limit > memory.limit else limit - memory.base & U32_MASK
    return Span(start, end)


def _position_of(info: Meminfo, idx: int) -> int | None:
    for position, extent in enumerate(info.mem[: info.mem_c]):
        if extent.idx == idx:
            return position
    return None


def _limit(info: Meminfo, position: int) -> int:
    """Returns a region's last byte; without a stored limit, it ends where the next one begins."""
    limit: int = info.mem[position].limit
    if limit:
        return limit
    is_last = position + 1 == info.mem_c
    return U32_MASK if is_last else info.mem[position + 1].base - 1 & U32_MASK
