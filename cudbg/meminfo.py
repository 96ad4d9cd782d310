"""Reads the adapter's memories and their regions from registers (cudbg_fill_meminfo()).

Several entities need them and, as in the kernel, each one reads all of them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, signed
from vmcoredd.chip.memory import HIDDEN, MEGABYTE, REGIONS, MemoryType
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.cudbg.memory_map import HOLES, Extent, Meminfo
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Io

T = TypeVar("T")

_PAGES = 0x1FFFFF
"""The field that counts free pages."""
_BASES = REGIONS[:9]
"""Each ends where the next one begins."""
_PAYLOADS = REGIONS[9:11]
_LE_HASH = 11
_ULP = REGIONS[12:20]
_DOORBELL_FIFO = 20
_ULP_STATE = REGIONS[21:23]
_ON_CHIP_QUEUES = 23


class _Words(NamedTuple):
    """The values of the registers, in the kernel's order."""

    enable: int
    first: tuple[int, ...]
    """The memories' BARs, the first regions' bases, the payload regions, LE_DB_CONFIG."""
    ulp: tuple[int, ...]
    """The LE's hash region, ULP's regions, the doorbell FIFO's size."""
    last: tuple[int, ...]
    """The doorbell FIFO's base, ULP's state, pages."""


def read_meminfo(io: Io, chip: Chip, into: Meminfo) -> None:
    """Fills `into`, except its reserved words. Raises Status(-24) if no memory is enabled."""
    made, reserved = _meminfo(chip, _read_words(io, chip)), Meminfo.reserved
    view, end = memoryview(into).cast("B"), reserved.offset + reserved.size
    view[: reserved.offset] = made[: reserved.offset]
    view[end:] = made[end:]


def _kinds(chip: Chip, enable: int) -> list[MemoryType]:
    """Returns the memories that are enabled."""
    register = chip.r.MA_TARGET_MEM_ENABLE
    return [kind for kind in chip.memory.types if register.get(enable, kind.enable)]


def _read_words(io: Io, chip: Chip) -> _Words:
    registers = _Registers.of(chip)
    enable = io.read(chip.r.MA_TARGET_MEM_ENABLE)
    kinds = _kinds(chip, enable)
    if not kinds:
        raise Status(Code.ENTITY_NOT_FOUND)
    first = read_each(io, [*(chip.r[kind.bar] for kind in kinds), *registers.first])
    ulp = read_each(io, [*registers.hash_region * _hashing(chip, first), *registers.ulp])
    fifo = [chip.r.SGE_DBVFIFO_BADDR] * bool(_fifo_bytes(chip, ulp))
    return _Words(enable, first, ulp, read_each(io, [*fifo, *registers.last]))


class _Registers(NamedTuple):
    """Registers that are read on every card, in order; see `_Words`."""

    first: list[int]
    hash_region: list[int]
    ulp: list[int]
    last: list[int]

    @classmethod
    @cache
    def of(cls, chip: Chip) -> _Registers:
        """Returns the registers of a chip."""
        r = chip.r
        bases = [r[region.base] for region in _BASES]
        payloads = [
            r[name]
            for region in _PAYLOADS
            for name in (region.base, region.page_size, region.max_page)
        ]
        limits = [r[name] for region in _ULP for name in (region.base, region.limit)]
        states = [r[region.base] for region in _ULP_STATE]
        return cls(
            first=[*bases, *payloads, r.LE_DB_CONFIG],
            hash_region=[r[name] for name in chip.le.hash_region],
            ulp=[*limits, r.SGE_DBVFIFO_SIZE, r.SGE_CONTROL2],
            last=[*states, *_page_registers(chip)],
        )


def _hashing(chip: Chip, first: Sequence[int]) -> bool:
    """Returns whether the lookup engine has a hash table."""
    return bool(chip.r.LE_DB_CONFIG.get(first[-1], "HASHEN"))


def _fifo_bytes(chip: Chip, ulp: Sequence[int]) -> int:
    """Returns the size of the doorbell FIFO in memory; 0 without one."""
    r, (size, control), switch = chip.r, ulp[-2:], chip.memory.vfifo_enable
    if switch and not r.SGE_CONTROL2.get(control, switch):
        return 0
    return 4 * r.SGE_DBVFIFO_SIZE.get(size, chip.memory.vfifo_size)


@lru_cache(maxsize=4)
def _meminfo(chip: Chip, words: _Words) -> bytes:
    """Decodes the values. They rarely change between entities, so the last results are kept."""
    made = Meminfo()
    made.mem = [Extent(idx=idx) for idx in range(len(made.mem))]
    memories = _first_regions(chip, words, made.mem)
    made.avail[: len(memories)] = memories
    made.avail_c = len(memories)
    _ulp_regions(chip, words, made.mem)
    _pages(_last_regions(chip, words, made.mem), chip, made)
    holes = _holes(memories)
    for i, base in enumerate(holes, len(REGIONS)):
        made.mem[i].base = base
    made.mem_c = len(REGIONS) + len(holes)
    made.mem[: made.mem_c] = _sorted(made.mem[: made.mem_c])
    return bytes(made)


def _memory(chip: Chip, kind: MemoryType, bar: int) -> Extent:
    register = chip.r[kind.bar]
    base = register.get(bar, kind.base) * MEGABYTE & U32_MASK
    size = register.get(bar, kind.size) * MEGABYTE
    return Extent(base=base, limit=base + size & U32_MASK, idx=kind.meminfo_index)


def _first_regions(chip: Chip, found: _Words, mem: Sequence[Extent]) -> list[Extent]:
    """Returns the memories, by address; fills in the regions before the LE's."""
    words = iter(found.first)
    memories = [_memory(chip, kind, next(words)) for kind in _kinds(chip, found.enable)]
    for i in range(len(_BASES)):
        mem[i].base = next(words)
    for i, region in enumerate(_PAYLOADS, len(_BASES)):
        base, page, most = next(words), next(words), next(words)
        pages = chip.r[region.max_page].get(most, region.max_page_field)
        mem[i].base, mem[i].limit = base, base - 1 + page * pages & U32_MASK
    return _sorted(memories)


def _ulp_regions(chip: Chip, found: _Words, mem: Sequence[Extent]) -> None:
    """Fills in the regions from the LE's hash to the doorbell FIFO, whose base comes later."""
    words = iter(found.ulp)
    if _hashing(chip, found.first):
        mem[_LE_HASH].base = [next(words) for _ in chip.le.hash_region][1]
    else:
        mem[_LE_HASH].idx = HIDDEN
    for i in range(_LE_HASH + 1, _DOORBELL_FIFO):
        mem[i].base, mem[i].limit = next(words), next(words)
    mem[_DOORBELL_FIFO].limit = _fifo_bytes(chip, found.ulp)


def _last_regions(chip: Chip, found: _Words, mem: Sequence[Extent]) -> Iterator[int]:
    """Fills in the doorbell FIFO and the regions after it. Returns the words that follow theirs.

    The FIFO stays hidden even where it exists, as in the kernel's driver.
    """
    words, fifo = iter(found.last), mem[_DOORBELL_FIFO]
    fifo.idx = HIDDEN
    if fifo.limit:
        fifo.base = chip.r.SGE_DBVFIFO_BADDR.get(next(words), "BaseAddr")
        fifo.limit = fifo.base + fifo.limit - 1 & U32_MASK
    for i in range(_DOORBELL_FIFO + 1, _ON_CHIP_QUEUES):
        mem[i].base = next(words)
    mem[_ON_CHIP_QUEUES].idx = HIDDEN  # known only once the firmware has been asked
    return words


def _holes(memories: Sequence[Extent]) -> list[int]:
    """Returns the ends of memories, except where another memory begins.

    A sane adapter has at most HOLES; of one that reads all ones, the rest is left out.
    """
    ends = [m.limit for m, next_one in pairwise(memories) if m.limit < next_one.base]
    return (ends + ([memories[-1].limit] if memories[-1].limit else []))[:HOLES]


def _page_registers(chip: Chip) -> list[int]:
    """Returns the registers that `_pages` decodes, in the order of reading."""
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


def _pages(words: Iterator[int], chip: Chip, into: Meminfo) -> None:
    """Fills in the members after the lists of memories and regions."""
    into.up_ram_lo, size = next(words), next(words)
    into.up_ram_hi = size + into.up_ram_lo - 1 & U32_MASK
    into.up_extmem2_lo, size = next(words), next(words)
    into.up_extmem2_hi = size + into.up_extmem2_lo - 1 & U32_MASK
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
    """Returns a page size as a number and its unit, the letter K or M."""
    return (page >> 20, ord("M")) if page >= MEGABYTE else (page >> 10, ord("K"))


def _sorted(extents: Iterable[Extent]) -> list[Extent]:
    """Sorts by base, comparing as the kernel does: by the sign of a 32-bit difference."""
    copies = [Extent.from_bytes(bytes(extent)) for extent in extents]
    return heapsort(copies, lambda a, b: signed(a.base - b.base))


def heapsort(items: Sequence[T], compare: Callable[[T, T], int]) -> list[T]:
    """Returns `items` in ascending order; `compare(a, b)` is negative, 0 or positive.

    This is the bottom-up heapsort of lib/sort.c. It is not stable, and regions often begin at the
    same address, so its order of equal elements shows in the dump.
    """
    heap = list(items)
    for root in range(len(heap) // 2 - 1, -1, -1):
        _sift(heap, root, len(heap), compare)
    for end in range(len(heap) - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sift(heap, 0, end, compare)
    return heap


def _sift(heap: list[T], root: int, end: int, compare: Callable[[T, T], int]) -> None:
    """Moves heap[root] down to a leaf along the larger children, then back up to its position."""
    path = [root]
    while (child := 2 * path[-1] + 1) < end:
        sibling = child + 1
        if sibling < end and compare(heap[child], heap[sibling]) < 0:
            child = sibling
        path.append(child)
    while len(path) > 1 and compare(heap[root], heap[path[-1]]) >= 0:
        path.pop()
    moved = heap[root]
    for above, below in pairwise(path):
        heap[above] = heap[below]
    heap[path[-1]] = moved
