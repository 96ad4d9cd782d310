"""Random vfio-user messages: right in shape, wrong in numbers, sizes and descriptors."""

from __future__ import annotations

import struct
from random import Random

from vfio_peers import (
    ACCESS,
    DIRTY_PAGES,
    DMA_MAP,
    DMA_UNMAP,
    GET_INFO,
    GET_IRQ_INFO,
    GET_REGION_INFO,
    GET_REGION_IO_FDS,
    NO_REPLY,
    READ,
    RESET,
    SET_IRQS,
    VERSION,
    WRITE,
    WRITE_MULTI,
)

from tests.fuzz.case import Case
from tests.fuzz.descriptors import KINDS

WORDS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 0xFF, 0xFFF, 0x1000, 1 << 20, 1 << 31, 0xFFFFFFFF)
PAGES = (0, 0x1000, 0x2000, 0x10000, 0xFFF, 0x1001, 1 << 31, 1 << 32, (1 << 32) - 1)
LONGS = (*PAGES, (1 << 63) - 0x1000, (1 << 63) - 1, 1 << 63, (1 << 64) - 0x1000, (1 << 64) - 1)
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 64, 4095, 4096, 1 << 16, 1 << 19, (1 << 20) - 32, 1 << 20)
BAR0 = 0x80000
TEXTS = (
    b"",
    b"\0",
    b"{}\0",
    b"{",
    b"[]\0",
    b'{"capabilities":{"max_msg_fds":8}}\0',
    b'{"capabilities":{"max_msg_fds":-1,"max_data_xfer_size":0}}\0',
    b'{"capabilities":{"max_data_xfer_size":1e99,"twin_socket":{"supported":true}}}\0',
    b'{"capabilities":{"pgsizes":1,"max_dma_maps":0,"migration":{"pgsize":4096}}}\0',
    b"[" * 5000 + b"\0",
    b"\xff\xfe\x00\x80",
)


def version(random: Random) -> bytes:
    """The payload of a version message, mostly a good one."""
    if random.random() < 0.7:
        return struct.pack("<HH", 0, 1) + TEXTS[5]
    return struct.pack("<HH", random.choice((0, 0, 1, 65535)), random.choice((0, 1, 2, 9)))[
        : random.choice((4, 4, 4, 3, 0))
    ] + random.choice(TEXTS)


def _dma_map(random: Random) -> bytes:
    flags = random.choice((0, 1, 2, 3, 3, 3, 7, 0xFFFFFFFF))
    where = (_long(random), _long(random), _long(random))
    return struct.pack("<IIQQQ", random.choice((32, 32, 0, 0xFFFFFFFF)), flags, *where)


def _dma_unmap(random: Random) -> bytes:
    payload = struct.pack(
        "<IIQQ",
        random.choice((24, 24, 40, 0, 1 << 31)),
        random.choice((0, 0, 1, 2, 3, 0xFFFFFFFF)),
        _long(random),
        _long(random),
    )
    return payload + random.choice((b"", struct.pack("<QQ", _long(random), _long(random))))


def _set_irqs(random: Random) -> bytes:
    kind, action = random.choice((1, 2, 4, 4, 7)), random.choice((8, 16, 32, 32, 32, 56))
    count = random.choice((0, 1, 1, 1, 2, 3, 8, 9, 0xFFFFFFFF))
    start = random.choice((0, 0, 0, 1, 7, 8, 0xFFFFFFFF))
    payload = struct.pack("<IIIII", 20, kind | action, random.choice(WORDS[:7]), start, count)
    return payload + random.randbytes(random.choice((0, 0, 1, 2, 8)))


def _access(random: Random) -> bytes:
    region = random.choice((0, 0, 0, 0, 2, 4, 7, 7, 1, 8, 9, 0xFFFFFFFF))
    offset = random.choice((random.randrange(BAR0) & ~3, random.randrange(4096), _long(random)))
    return ACCESS.pack(offset, region, random.choice(SIZES))


def _write(random: Random) -> bytes:
    access = _access(random)
    count = min(ACCESS.unpack(access)[2], 1 << 16)
    return access + random.randbytes(random.choice((count, count, count, 0, 3)))


def _writes(random: Random) -> bytes:
    count = random.choice((0, 1, 2, 3, 40))
    wrong = random.choice((count, count, count, 1 << 31))
    one = (
        struct.pack("<QIIQ", _long(random), 0, random.choice(SIZES[:9]), 0) for _ in range(count)
    )
    return struct.pack("<Q", wrong) + b"".join(one)


def _words(random: Random) -> bytes:
    values = (random.choice(WORDS) for _ in range(random.randrange(9)))
    return b"".join(struct.pack("<I", value) for value in values)


def _info(random: Random) -> bytes:
    return struct.pack("<IIIIQQ", random.choice((32, 32, 0, 4096, 1 << 31)), 0, *[0] * 4)[
        : random.choice((32, 32, 16, 15))
    ]


def _long(random: Random) -> int:
    return random.choice((random.choice(PAGES), random.choice(LONGS), random.getrandbits(64)))


PAYLOADS = {
    VERSION: version,
    DMA_MAP: _dma_map,
    DMA_UNMAP: _dma_unmap,
    GET_INFO: _words,
    GET_REGION_INFO: _info,
    GET_REGION_IO_FDS: _words,
    GET_IRQ_INFO: _words,
    SET_IRQS: _set_irqs,
    READ: _access,
    WRITE: _write,
    11: _access,
    12: _write,
    RESET: lambda random: b"",
    DIRTY_PAGES: _words,
    WRITE_MULTI: _writes,
    99: _words,
}
LIKELY = [DMA_MAP] * 5 + [DMA_UNMAP] * 2 + [SET_IRQS] * 6 + [READ] * 5 + [WRITE] * 5
WITH_FDS = (DMA_MAP, SET_IRQS)


def request(random: Random) -> Case:
    """A message as a step of a case: `send`, its fields, and the kinds of its descriptors."""
    command = random.choice([*PAYLOADS, *LIKELY])
    payload = PAYLOADS[command](random)
    wants = 0.9 if command in WITH_FDS else 0.05
    count = random.choice((1, 1, 1, 2, 8, 9, 20)) if random.random() < wants else 0
    return {
        "do": "send",
        "command": command,
        "payload": payload.hex(),
        "flags": random.choice((0, 0, 0, 0, 0, NO_REPLY, NO_REPLY, 1, 0xFFFFFFFF)),
        "size": None if random.random() < 0.93 else random.choice(WORDS),
        "fds": random.choices(list(KINDS), k=count),
        "times": 1 if random.random() < 0.9 else random.choice((2, 20, 300)),
    }
