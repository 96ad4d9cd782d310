"""The content that firmware and past traffic left in the adapter's memories.

Regions that a model fills (contexts, connection control blocks, the hash table) stay empty here.
Pages that were never used stay holes.
"""

from __future__ import annotations

from array import array
from random import Random

from vmcoredd.emu.memory import Memories
from vmcoredd.emu.scenario.memory_map import MemoryMap, PlacedRegion

PAGE = 4096
POOL_PAGES = 64
USED = {
    "Tx payload": 50,
    "Rx payload": 60,
    "Pstructs": 40,
    "Timers": 30,
    "iSCSI region": 25,
    "TDDP region": 25,
    "TPT region": 15,
    "STAG region": 15,
    "RQ region": 20,
    "RQUDP region": 10,
    "PBL region": 25,
    "TXPBL region": 25,
    "DBVFIFO region": 50,
    "ULPRX state": 30,
    "ULPTX state": 10,
    "uP RAM": 70,
    "uP Extmem2": 40,
}
"""The percentage of each region's pages that has been used."""
FIRMWARE = ("uP RAM", "uP Extmem2")
LISTS = ("Rx FL", "Tx FL", "Pstruct FL")
"""Free lists: indices of free pages, one per word."""
REQUESTS = (
    "GET /{n:x}/index.html HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {n}\r\n\r\n",
    "INSERT INTO measurements VALUES ({n}, 'sensor-{n:04x}', {n}.25);\n",
)
"""Payload templates."""


def boot(memories: Memories, regions: MemoryMap, random: Random) -> None:
    """Fills all memories as firmware does: with its own pages, and lists of free pages."""
    code = [random.randbytes(PAGE) for _ in range(POOL_PAGES)]
    for region in regions:
        if region.name in LISTS:
            memories.write(region.base, _indices(0, region.size).tobytes())
        elif region.name in FIRMWARE:
            _use(memories, region, code, random)


def fill(memories: Memories, regions: MemoryMap, random: Random) -> None:
    """Fills all memories; random numbers decide the pages in use and their content."""
    pool = [_page(random) for _ in range(POOL_PAGES)]
    for region in regions:
        if region.name in LISTS:
            memories.write(region.base, _free_list(region, random))
        elif region.name in USED:
            _use(memories, region, pool, random)
    for start, end in _unnamed(memories, regions):
        _use(memories, PlacedRegion("uP RAM", start, end - start), pool, random)


def _page(random: Random) -> bytes:
    """Returns a page of requests and replies, or of incompressible bytes."""
    if random.random() < 0.5:
        return random.randbytes(PAGE)
    lines = [random.choice(REQUESTS).format(n=random.randrange(1 << 16)) for _ in range(PAGE // 32)]
    return "".join(lines).encode()[:PAGE]


def _use(memories: Memories, region: PlacedRegion, pool: list[bytes], random: Random) -> None:
    count = region.size // PAGE
    used = USED[region.name] / 100
    pages = random.choices(range(POOL_PAGES), k=count)
    dice = [random.random() for _ in range(count)]
    for number, (page, die) in enumerate(zip(pages, dice, strict=True)):
        if die < used:
            address = region.base + number * PAGE
            memories.write(address, address.to_bytes(8, "big") + pool[page][8:])


def _free_list(region: PlacedRegion, random: Random) -> bytes:
    """Returns indices in the order in which pages were freed: nearly ascending."""
    indices = _indices(random.randrange(1 << 12), region.size)
    indices[::4], indices[2::4] = indices[2::4], indices[::4]
    return indices.tobytes()


def _indices(first: int, size: int) -> array[int]:
    """Returns big-endian indices for half of a list's `size` bytes."""
    indices = array("I", range(first, first + size // 8))
    indices.byteswap()
    return indices


def _unnamed(memories: Memories, regions: MemoryMap) -> list[tuple[int, int]]:
    """Returns (start, end) of the parts of memory that no region covers."""
    gaps, end = [], 0
    for region in sorted(regions, key=lambda region: region.base):
        if region.base > end:
            gaps.append((end, region.base))
        end = max(end, region.base + region.size)
    return [*gaps, (end, memories.end)]
