"""Where a region of adapter memory lies within one memory, as the kernel's driver works it out.

Its arithmetic is reproduced with its oddity: a region that reaches beyond the memory ends, relative
to the memory's start, at the memory's absolute end.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import MEMINFO_NAMES, REGIONS, MemoryId
from vmcoredd.cudbg import status
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.meminfo import Extent, Meminfo

_INDICES = {region.name: idx for idx, region in enumerate(REGIONS)}


class Span(NamedTuple):
    """Bytes of a memory, from its beginning; `end` is the last one."""

    start: int
    end: int


def memory_of(info: Meminfo, chip: Chip, memory: MemoryId) -> Extent:
    """The memory's place; Status(-24) if it is not there (cudbg_meminfo_get_mem_index())."""
    name = chip.memory.types[memory].name if memory <= MemoryId.MC0 else memory.name
    memories: list[Extent] = info.avail[: info.avail_c]
    for extent in memories:
        if MEMINFO_NAMES[extent.idx] == name:
            return extent
    raise Status(status.ENTITY_NOT_FOUND)


def span_of(info: Meminfo, memory: Extent, region: str) -> Span | None:
    """The part of `region` that lies in `memory`; None if none does (cudbg_get_mem_region(),
    cudbg_get_mem_relative())."""
    place = _place_of(info, _INDICES[region])
    if place is None:
        return None
    base, limit = info.mem[place].base, _limit(info, place)
    if (base < memory.base and limit < memory.base) or base > memory.limit:
        return None
    start = 0 if base < memory.base else base - memory.base
    end = memory.limit if limit > memory.limit else limit - memory.base & U32_MASK
    return Span(start, end)


def _place_of(info: Meminfo, idx: int) -> int | None:
    for place, extent in enumerate(info.mem[: info.mem_c]):
        if extent.idx == idx:
            return place
    return None


def _limit(info: Meminfo, place: int) -> int:
    """A region without a limit of its own ends where the next one begins."""
    limit: int = info.mem[place].limit
    if limit:
        return limit
    return info.mem[place + 1].base - 1 & U32_MASK if place + 1 < info.mem_c else U32_MASK
