"""The adapter's memories and the regions in them, as registers tell (cudbg_fill_meminfo()).

Several entities need this, and each reads all of it anew, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from chip import Chip, Register
from chip.layout import LittleStruct, u32
from chip.memory import HIDDEN, MEGABYTE, REGIONS, MemoryType, PageCounts
from cudbg import status
from cudbg.errors import Status
from cudbg.heapsort import heapsort
from cudbg.io import Column, Io, Read
from cudbg.words import signed, u32s

HOLES = 3
"""What can follow the regions: ends of memories."""

_WORD = 0xFFFFFFFF


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


_PAGES = 0x1FFFFF
"""The field of counts of free pages."""
_BASES = REGIONS[:9]
"""Each ends where the next one begins."""
_PAYLOADS = REGIONS[9:11]
_LE_HASH = 11
_ULP = REGIONS[12:20]
_DOORBELL_FIFO = 20
_ULP_STATE = REGIONS[21:23]
_ON_CHIP_QUEUES = 23


def read_meminfo(io: Io, chip: Chip, into: Meminfo) -> None:
    """Fills `into`, all of it but what is reserved. Status(-24) if no memory is enabled."""
    into.avail = [Extent() for _ in into.avail]
    into.mem = [Extent(idx=idx) for idx in range(len(into.mem))]
    memories = _memories(io, chip)
    if not memories:
        raise Status(status.ENTITY_NOT_FOUND)
    into.avail[: len(memories)] = memories
    into.avail_c = len(memories)
    _read_regions(io, chip, into.mem)
    holes = _holes(memories)
    for place, base in enumerate(holes, len(REGIONS)):
        into.mem[place].base = base
    into.mem_c = len(REGIONS) + len(holes)
    into.mem[: into.mem_c] = _sorted(into.mem[: into.mem_c])
    _read_pages(io, chip, into)


def _memories(io: Io, chip: Chip) -> list[Extent]:
    """Those that are enabled, by address."""
    enable = chip.r.MA_TARGET_MEM_ENABLE
    word = io.read(enable)
    there = [kind for kind in chip.memory.types if enable.get(word, kind.enable)]
    bars = read_each(io, [chip.r[kind.bar] for kind in there])
    return _sorted([_memory(chip, kind, bar) for kind, bar in zip(there, bars, strict=True)])


def _memory(chip: Chip, kind: MemoryType, bar: int) -> Extent:
    register = chip.r[kind.bar]
    base = register.get(bar, kind.base) * MEGABYTE & _WORD
    size = register.get(bar, kind.size) * MEGABYTE
    return Extent(base=base, limit=base + size & _WORD, idx=kind.meminfo_index)


def _read_regions(io: Io, chip: Chip, mem: Sequence[Extent]) -> None:
    r = chip.r
    bases = [r[region.base] for region in _BASES]
    payloads = [
        r[n] for region in _PAYLOADS for n in (region.base, region.page_size, region.max_page)
    ]
    words = read_each(io, [*bases, *payloads, r.LE_DB_CONFIG])
    for extent, base in zip(mem, words[: len(_BASES)], strict=False):
        extent.base = base
    for place, region in enumerate(_PAYLOADS):
        base, page, most = words[9 + 3 * place : 12 + 3 * place]
        pages = r[region.max_page].get(most, region.max_page_field)
        mem[9 + place].base, mem[9 + place].limit = base, base - 1 + page * pages & _WORD
    hashing = r.LE_DB_CONFIG.get(words[-1], "HASHEN")
    _read_middle(io, chip, mem, [r[name] for name in chip.le.hash_region if hashing])
    mem[_ON_CHIP_QUEUES].idx = HIDDEN  # known only when the firmware was asked


def _read_middle(io: Io, chip: Chip, mem: Sequence[Extent], hash_region: list[Register]) -> None:
    """Regions 11 to 22."""
    r = chip.r
    limits = [r[name] for region in _ULP for name in (region.base, region.limit)]
    words = read_each(io, [*hash_region, *limits, r.SGE_DBVFIFO_SIZE, r.SGE_CONTROL2])
    if hash_region:
        mem[_LE_HASH].base = words[1]
    else:
        mem[_LE_HASH].idx = HIDDEN
    limit = iter(words[len(hash_region) :])
    for place in range(_LE_HASH + 1, _DOORBELL_FIFO):
        mem[place].base, mem[place].limit = next(limit), next(limit)
    _read_doorbell_fifo(io, chip, mem[_DOORBELL_FIFO], next(limit), next(limit))
    states = read_each(io, [r[region.base] for region in _ULP_STATE])
    for extent, base in zip(mem[_DOORBELL_FIFO + 1 :], states, strict=False):
        extent.base = base


def _read_doorbell_fifo(io: Io, chip: Chip, extent: Extent, size: int, control: int) -> None:
    """It is hidden even where there is one: so the kernel's driver leaves it."""
    r, memory = chip.r, chip.memory
    extent.idx = HIDDEN
    words = r.SGE_DBVFIFO_SIZE.get(size, memory.vfifo_size)
    enabled = not memory.vfifo_enable or r.SGE_CONTROL2.get(control, memory.vfifo_enable)
    if words and enabled:
        extent.base = r.SGE_DBVFIFO_BADDR.get(io.read(r.SGE_DBVFIFO_BADDR), "BaseAddr")
        extent.limit = extent.base + 4 * words - 1 & _WORD


def _holes(memories: Sequence[Extent]) -> list[int]:
    """Where memory ends, unless another one begins there."""
    ends = [m.limit for m, next_one in pairwise(memories) if m.limit < next_one.base]
    return ends + ([memories[-1].limit] if memories[-1].limit else [])


def _read_pages(io: Io, chip: Chip, into: Meminfo) -> None:
    """What stands behind the lists of memories and regions."""
    r = chip.r
    words = iter(
        read_each(
            io,
            [
                *(r.CIM_SDRAM_BASE_ADDR, r.CIM_SDRAM_ADDR_SIZE),
                *(r.CIM_EXTMEM2_BASE_ADDR, r.CIM_EXTMEM2_ADDR_SIZE),
                *(r.TP_PMM_RX_MAX_PAGE, *[r.TP_FLM_FREE_RX_CNT] * 2, r.TP_PMM_RX_PAGE_SIZE),
                *(r.TP_PMM_TX_MAX_PAGE, r.TP_PMM_TX_PAGE_SIZE, *[r.TP_FLM_FREE_TX_CNT] * 4),
                *(r.TP_CMM_MM_MAX_PSTRUCT, r.TP_FLM_FREE_PS_CNT),
            ],
        )
    )
    into.up_ram_lo, size = next(words), next(words)
    into.up_ram_hi = size + into.up_ram_lo - 1 & _WORD
    into.up_extmem2_lo, size = next(words), next(words)
    into.up_extmem2_hi = size + into.up_extmem2_lo - 1 & _WORD
    most = next(words)
    into.free_rx_cnt = sum(next(words) & _PAGES for _ in range(2))
    into.rx_pages_data = [most & _PAGES, next(words) >> 10, 2 if most >> 31 else 1]
    most, page = next(words), next(words)
    into.free_tx_cnt = sum(next(words) & _PAGES for _ in range(4))
    into.tx_pages_data = [most & _PAGES, *_scaled(page), 1 << (most >> 30)]
    into.p_structs, into.p_structs_free_cnt = next(words), next(words) & _PAGES
    _read_buffer_pages(io, chip, chip.memory.port_pages, into.port_used, into.port_alloc)
    loopback = chip.memory.loopback_pages
    _read_buffer_pages(io, chip, loopback, into.loopback_used, into.loopback_alloc)


def _read_buffer_pages(
    io: Io, chip: Chip, pages: PageCounts, used: list[int], allocated: list[int]
) -> None:
    register = chip.r[pages.register]
    for i, word in enumerate(u32s(io.read_run(register, pages.words))):
        used[i] = register.get(word, pages.used)
        allocated[i] = register.get(word, pages.allocated)


def _scaled(page: int) -> tuple[int, int]:
    """A page size as a number and its unit, the letter K or M."""
    return (page >> 20, ord("M")) if page >= MEGABYTE else (page >> 10, ord("K"))


def _sorted(extents: Iterable[Extent]) -> list[Extent]:
    """By base as the kernel compares: the sign of a 32-bit difference."""
    copies = [Extent.from_bytes(bytes(extent)) for extent in extents]
    return heapsort(copies, lambda a, b: signed(a.base - b.base))


def read_each(io: Io, registers: Sequence[int]) -> tuple[int, ...]:
    """Registers from here and there, none waited for."""
    return u32s(io.run([Read(Column())], registers))
