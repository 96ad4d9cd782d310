"""The adapter's memories and the regions in them, as registers tell (cudbg_fill_meminfo()).

Several entities need this, and each reads all of it anew, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from chip import Chip, Register
from chip.layout import LittleStruct, u32
from cudbg import status
from cudbg.errors import Status
from cudbg.heapsort import heapsort
from cudbg.io import Column, Io, Read
from cudbg.words import signed, u32s

REGIONS = (
    "DBQ contexts:",
    "IMSG contexts:",
    "FLM cache:",
    "TCBs:",
    "Pstructs:",
    "Timers:",
    "Rx FL:",
    "Tx FL:",
    "Pstruct FL:",
    "Tx payload:",
    "Rx payload:",
    "LE hash:",
    "iSCSI region:",
    "TDDP region:",
    "TPT region:",
    "STAG region:",
    "RQ region:",
    "RQUDP region:",
    "PBL region:",
    "TXPBL region:",
    "DBVFIFO region:",
    "ULPRX state:",
    "ULPTX state:",
    "On-chip queues:",
)
"""Names of the regions, by `idx` (cudbg_region[])."""
HIDDEN = len(REGIONS)
"""The `idx` of a region that is not there."""
MEMORIES = ("EDC0", "EDC1", "MC", "MC0", "MC1", "HMA")
"""Names of the memories, by `idx` (EDC0_FLAG and so on)."""
HOLES = 3

_MIB = 1 << 20
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


class _Source(NamedTuple):
    """A memory: its `idx`, the bit that enables it, and the register with its place, in MiB."""

    idx: int
    enable: str
    bar: str


_EDC0 = _Source(0, "EDRAM0_ENABLE", "MA_EDRAM0_BAR")
_EDC1 = _Source(1, "EDRAM1_ENABLE", "MA_EDRAM1_BAR")


class _Names(NamedTuple):
    """What is called differently on the two chips."""

    memories: tuple[_Source, ...]
    hash_base: tuple[str, str]
    """Read where hashing is on: one that is not used, then the region's base."""
    doorbell_fifo_switch: int
    """Bits of SGE_CONTROL2 of which one must be set for the doorbell FIFO to exist; 0: always."""
    doorbell_fifo_size: tuple[int, int]
    """Its size in SGE_DBVFIFO_SIZE: shift and mask."""
    port_pages: str
    loopback_pages: str
    pages_mask: int
    """Of the counts of used [..:16] and allocated [..:0] pages."""
    channels: int


_NAMES = {
    "t5": _Names(
        memories=(
            _EDC0,
            _EDC1,
            _Source(3, "EXT_MEM0_ENABLE", "MA_EXT_MEMORY0_BAR"),
            _Source(4, "EXT_MEM1_ENABLE", "MA_EXT_MEMORY1_BAR"),
        ),
        hash_base=("LE_DB_TID_HASHBASE", "LE_DB_HASH_TID_BASE"),
        doorbell_fifo_switch=1 << 10,  # VFIFO_ENABLE
        doorbell_fifo_size=(6, 0xFFF),
        port_pages="MPS_RX_PG_RSV0",
        loopback_pages="MPS_RX_PG_RSV4",
        pages_mask=0xFFF,
        channels=4,
    ),
    "t6": _Names(
        memories=(
            _EDC0,
            _EDC1,
            _Source(2, "EXT_MEM0_ENABLE", "MA_EXT_MEMORY0_BAR"),
            _Source(5, "HMA_MUX", "MA_EXT_MEMORY1_BAR"),
        ),
        hash_base=("LE_DB_HASH_TID_BASE", "LE_DB_HASH_TBL_BASE_ADDR"),
        doorbell_fifo_switch=0,
        doorbell_fifo_size=(0, 0x1FFF),
        port_pages="MPS_RX_MAC_BG_PG_CNT0",
        loopback_pages="MPS_RX_LPBK_BG_PG_CNT0",
        pages_mask=0x7FF,
        channels=2,
    ),
}

_BASES = (
    "SGE_DBQ_CTXT_BADDR",
    "SGE_IMSG_CTXT_BADDR",
    "SGE_FLM_CACHE_BADDR",
    "TP_CMM_TCB_BASE",
    "TP_CMM_MM_BASE",
    "TP_CMM_TIMER_BASE",
    "TP_CMM_MM_RX_FLST_BASE",
    "TP_CMM_MM_TX_FLST_BASE",
    "TP_CMM_MM_PS_FLST_BASE",
)
"""Regions 0 to 8; each ends where the next one begins."""
_PAYLOADS = (
    ("TP_PMM_TX_BASE", "TP_PMM_TX_PAGE_SIZE", "TP_PMM_TX_MAX_PAGE"),
    ("TP_PMM_RX_BASE", "TP_PMM_RX_PAGE_SIZE", "TP_PMM_RX_MAX_PAGE"),
)
"""Regions 9 and 10."""
_PAGES = 0x1FFFFF
"""The field of ..._MAX_PAGE, and of the counts of free pages."""
_LE_HASH = 11
_ULP = ("RX_ISCSI", "RX_TDDP", "TX_TPT", "RX_STAG", "RX_RQ", "RX_RQUDP", "RX_PBL", "TX_PBL")
"""Regions 12 to 19, between ULP_..._LLIMIT and ULP_..._ULIMIT."""
_DOORBELL_FIFO = 20
_ULP_STATE = ("ULP_RX_CTX_BASE", "ULP_TX_ERR_TABLE_BASE")
"""Regions 21 and 22."""
_ON_CHIP_QUEUES = 23


def read_meminfo(io: Io, chip: Chip, into: Meminfo) -> None:
    """Fills `into`, all of it but what is reserved. Status(-24) if no memory is enabled."""
    names = _NAMES[chip.name]
    into.avail = [Extent() for _ in into.avail]
    into.mem = [Extent(idx=idx) for idx in range(len(into.mem))]
    memories = _memories(io, chip, names)
    if not memories:
        raise Status(status.ENTITY_NOT_FOUND)
    into.avail[: len(memories)] = memories
    into.avail_c = len(memories)
    _read_regions(io, chip, names, into.mem)
    holes = _holes(memories)
    for place, base in enumerate(holes, len(REGIONS)):
        into.mem[place].base = base
    into.mem_c = len(REGIONS) + len(holes)
    into.mem[: into.mem_c] = _sorted(into.mem[: into.mem_c])
    _read_pages(io, chip, names, into)


def _memories(io: Io, chip: Chip, names: _Names) -> list[Extent]:
    """Those that are enabled, by address."""
    enable = chip.r.MA_TARGET_MEM_ENABLE
    word = io.read(enable)
    there = [source for source in names.memories if enable.get(word, source.enable)]
    bars = read_each(io, [chip.r[source.bar] for source in there])
    return _sorted([_memory(source.idx, bar) for source, bar in zip(there, bars, strict=True)])


def _memory(idx: int, bar: int) -> Extent:
    base = (bar >> 16 & 0xFFF) * _MIB & _WORD
    return Extent(base=base, limit=base + (bar & 0xFFF) * _MIB & _WORD, idx=idx)


def _read_regions(io: Io, chip: Chip, names: _Names, mem: Sequence[Extent]) -> None:
    r = chip.r
    payloads = [r[name] for triple in _PAYLOADS for name in triple]
    words = read_each(io, [*(r[name] for name in _BASES), *payloads, r.LE_DB_CONFIG])
    for extent, base in zip(mem, words[: len(_BASES)], strict=False):
        extent.base = base
    for place, at in ((9, 9), (10, 12)):
        base, page, most = words[at : at + 3]
        mem[place].base, mem[place].limit = base, base - 1 + page * (most & _PAGES) & _WORD
    hashing = r.LE_DB_CONFIG.get(words[-1], "HASHEN")
    _read_middle(io, chip, names, mem, [r[name] for name in names.hash_base if hashing])
    mem[_ON_CHIP_QUEUES].idx = HIDDEN  # known only when the firmware was asked


def _read_middle(
    io: Io, chip: Chip, names: _Names, mem: Sequence[Extent], hash_base: list[Register]
) -> None:
    """Regions 11 to 22."""
    r = chip.r
    limits = [r[f"ULP_{name}_{end}LIMIT"] for name in _ULP for end in "LU"]
    words = read_each(io, [*hash_base, *limits, r.SGE_DBVFIFO_SIZE, r.SGE_CONTROL2])
    if hash_base:
        mem[_LE_HASH].base = words[1]
    else:
        mem[_LE_HASH].idx = HIDDEN
    limit = iter(words[len(hash_base) :])
    for place in range(_LE_HASH + 1, _DOORBELL_FIFO):
        mem[place].base, mem[place].limit = next(limit), next(limit)
    shift, mask = names.doorbell_fifo_size
    size = next(limit) >> shift & mask
    if names.doorbell_fifo_switch and not next(limit) & names.doorbell_fifo_switch:
        size = 0
    mem[_DOORBELL_FIFO].idx = HIDDEN  # also where it is there: so the kernel's driver
    if size:
        base = r.SGE_DBVFIFO_BADDR.get(io.read(r.SGE_DBVFIFO_BADDR), "BaseAddr")
        mem[_DOORBELL_FIFO].base = base
        mem[_DOORBELL_FIFO].limit = base + (size << 2) - 1 & _WORD
    states = read_each(io, [r[name] for name in _ULP_STATE])
    for extent, base in zip(mem[_DOORBELL_FIFO + 1 :], states, strict=False):
        extent.base = base


def _holes(memories: Sequence[Extent]) -> list[int]:
    """Where memory ends, unless another one begins there."""
    ends = [m.limit for m, next_one in pairwise(memories) if m.limit < next_one.base]
    return ends + ([memories[-1].limit] if memories[-1].limit else [])


def _read_pages(io: Io, chip: Chip, names: _Names, into: Meminfo) -> None:
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
                *(r[names.port_pages] + 4 * i for i in range(4)),
                *(r[names.loopback_pages] + 4 * i for i in range(names.channels)),
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
    for used, alloc, channels in (
        (into.port_used, into.port_alloc, 4),
        (into.loopback_used, into.loopback_alloc, names.channels),
    ):
        for i, word in zip(range(channels), words, strict=False):
            used[i], alloc[i] = word >> 16 & names.pages_mask, word & names.pages_mask


def _scaled(page: int) -> tuple[int, int]:
    """A page size as a number and its unit, the letter K or M."""
    return (page >> 20, ord("M")) if page >= _MIB else (page >> 10, ord("K"))


def _sorted(extents: Iterable[Extent]) -> list[Extent]:
    """By base as the kernel compares: the sign of a 32-bit difference."""
    copies = [Extent.from_bytes(bytes(extent)) for extent in extents]
    return heapsort(copies, lambda a, b: signed(a.base - b.base))


def read_each(io: Io, registers: Sequence[int]) -> tuple[int, ...]:
    """Registers from here and there, none waited for."""
    return u32s(io.run([Read(Column())], registers))
