"""The adapter's memories and the regions in them, as registers tell (cudbg_fill_meminfo()).

Several entities need this, and each reads all of it anew, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from chip import Chip, Register
from chip.layout import LittleStruct, u32
from chip.memory import HIDDEN, MEGABYTE, REGIONS, MemoryType
from cudbg import status
from cudbg.errors import Status
from cudbg.heapsort import heapsort
from cudbg.io import Io
from cudbg.ports import read_each
from cudbg.words import signed

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
    enable = chip.r.MA_TARGET_MEM_ENABLE
    word = io.read(enable)
    kinds = [kind for kind in chip.memory.types if enable.get(word, kind.enable)]
    if not kinds:
        raise Status(status.ENTITY_NOT_FOUND)
    into.avail = [Extent() for _ in into.avail]
    into.mem = [Extent(idx=idx) for idx in range(len(into.mem))]
    memories = _read_first_regions(io, chip, kinds, into.mem)
    into.avail[: len(memories)] = memories
    into.avail_c = len(memories)
    _read_pages(_read_last_regions(io, chip, into.mem), chip, into)
    holes = _holes(memories)
    for place, base in enumerate(holes, len(REGIONS)):
        into.mem[place].base = base
    into.mem_c = len(REGIONS) + len(holes)
    into.mem[: into.mem_c] = _sorted(into.mem[: into.mem_c])


def _memory(chip: Chip, kind: MemoryType, bar: int) -> Extent:
    register = chip.r[kind.bar]
    base = register.get(bar, kind.base) * MEGABYTE & _WORD
    size = register.get(bar, kind.size) * MEGABYTE
    return Extent(base=base, limit=base + size & _WORD, idx=kind.meminfo_index)


def _read_first_regions(
    io: Io, chip: Chip, kinds: Sequence[MemoryType], mem: Sequence[Extent]
) -> list[Extent]:
    """The memories by address, and regions up to ULP's."""
    r = chip.r
    payloads = [
        r[name] for region in _PAYLOADS for name in (region.base, region.page_size, region.max_page)
    ]
    bars, bases = [r[kind.bar] for kind in kinds], [r[region.base] for region in _BASES]
    words = iter(read_each(io, [*bars, *bases, *payloads, r.LE_DB_CONFIG]))
    memories = [_memory(chip, kind, next(words)) for kind in kinds]
    for place in range(len(_BASES)):
        mem[place].base = next(words)
    for place, region in enumerate(_PAYLOADS, len(_BASES)):
        base, page, most = next(words), next(words), next(words)
        pages = r[region.max_page].get(most, region.max_page_field)
        mem[place].base, mem[place].limit = base, base - 1 + page * pages & _WORD
    hashing = r.LE_DB_CONFIG.get(next(words), "HASHEN")
    _read_ulp_regions(io, chip, mem, [r[name] for name in chip.le.hash_region if hashing])
    return _sorted(memories)


def _read_ulp_regions(
    io: Io, chip: Chip, mem: Sequence[Extent], hash_region: list[Register]
) -> None:
    """Regions from the LE's hash to the doorbell FIFO, whose base is yet to be read."""
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
    size, control = next(limit), next(limit)
    switch = chip.memory.vfifo_enable
    fifo_words = r.SGE_DBVFIFO_SIZE.get(size, chip.memory.vfifo_size)
    there = not switch or r.SGE_CONTROL2.get(control, switch)
    mem[_DOORBELL_FIFO].limit = 4 * fifo_words if there else 0


def _read_last_regions(io: Io, chip: Chip, mem: Sequence[Extent]) -> Iterator[int]:
    """The doorbell FIFO and what follows it; the words behind those of the regions.

    The FIFO is hidden even where there is one: so the kernel's driver leaves it.
    """
    r, fifo = chip.r, mem[_DOORBELL_FIFO]
    register = r.SGE_DBVFIFO_BADDR
    registers = [*_state_registers(chip), *_page_registers(chip)]
    words = iter(read_each(io, [*[register] * bool(fifo.limit), *registers]))
    fifo.idx = HIDDEN
    if fifo.limit:
        fifo.base = register.get(next(words), "BaseAddr")
        fifo.limit = fifo.base + fifo.limit - 1 & _WORD
    for place in range(_DOORBELL_FIFO + 1, _ON_CHIP_QUEUES):
        mem[place].base = next(words)
    mem[_ON_CHIP_QUEUES].idx = HIDDEN  # known only when the firmware was asked
    return words


def _holes(memories: Sequence[Extent]) -> list[int]:
    """Where memory ends, unless another one begins there."""
    ends = [m.limit for m, next_one in pairwise(memories) if m.limit < next_one.base]
    return ends + ([memories[-1].limit] if memories[-1].limit else [])


def _state_registers(chip: Chip) -> list[int]:
    return [chip.r[region.base] for region in _ULP_STATE]


def _page_registers(chip: Chip) -> list[int]:
    """What `_read_pages` takes, in the order in which it is read."""
    r, port, loopback = chip.r, chip.memory.port_pages, chip.memory.loopback_pages
    return [
        *(r.CIM_SDRAM_BASE_ADDR, r.CIM_SDRAM_ADDR_SIZE),
        *(r.CIM_EXTMEM2_BASE_ADDR, r.CIM_EXTMEM2_ADDR_SIZE),
        *(r.TP_PMM_RX_MAX_PAGE, *[r.TP_FLM_FREE_RX_CNT] * 2, r.TP_PMM_RX_PAGE_SIZE),
        *(r.TP_PMM_TX_MAX_PAGE, r.TP_PMM_TX_PAGE_SIZE, *[r.TP_FLM_FREE_TX_CNT] * 4),
        *(r.TP_CMM_MM_MAX_PSTRUCT, r.TP_FLM_FREE_PS_CNT),
        *(r[port.register] + 4 * i for i in range(port.words)),
        *(r[loopback.register] + 4 * i for i in range(loopback.words)),
    ]


def _read_pages(words: Iterator[int], chip: Chip, into: Meminfo) -> None:
    """What stands behind the lists of memories and regions."""
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
    for pages, used, allocated in (
        (chip.memory.port_pages, into.port_used, into.port_alloc),
        (chip.memory.loopback_pages, into.loopback_used, into.loopback_alloc),
    ):
        register = chip.r[pages.register]
        for i, word in zip(range(pages.words), words, strict=False):
            used[i] = register.get(word, pages.used)
            allocated[i] = register.get(word, pages.allocated)


def _scaled(page: int) -> tuple[int, int]:
    """A page size as a number and its unit, the letter K or M."""
    return (page >> 20, ord("M")) if page >= MEGABYTE else (page >> 10, ord("K"))


def _sorted(extents: Iterable[Extent]) -> list[Extent]:
    """By base as the kernel compares: the sign of a 32-bit difference."""
    copies = [Extent.from_bytes(bytes(extent)) for extent in extents]
    return heapsort(copies, lambda a, b: signed(a.base - b.base))
