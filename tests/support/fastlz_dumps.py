"""Dumps as FreeBSD's driver and the vendor's collector lay them out, from the published layout.

Made with `struct` and a FastLZ package that we did not write; nothing here is from our own writer.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import fastlz

MAGIC = b"\x896PK\r\n\x1a\n"
CHUNK = 63 * 1024
MOST = 68
"""CUDBG_MAX_ENTITY of FreeBSD."""


def chunk(number: int, options: int, data: bytes, extra: int) -> bytes:
    """A chunk with its header of 16 bytes."""
    return struct.pack("<HHIII", number, options, len(data), zlib.adler32(data), extra) + data


def file_chunk(size: int) -> bytes:
    """The chunk that tells size and name of the file: FreeBSD calls it "abc"."""
    return chunk(1, 0, struct.pack("<IIH", size, 0, 4) + b"abc\0", 0)


def data_chunk(raw: bytes, level: int = 2) -> bytes:
    """A chunk of data; less than 32 bytes are stored."""
    if len(raw) < 32:
        return chunk(17, 0, raw, len(raw))
    packed, _ = fastlz.compress(raw, level)
    return chunk(17, 1, packed, len(raw))


def packed(raw: bytes, size: int = CHUNK, level: int = 2) -> bytes:
    """An entity in FastLZ's file format."""
    parts = [raw[at : at + size] for at in range(0, len(raw), size)]
    return MAGIC + file_chunk(len(raw)) + b"".join(data_chunk(part, level) for part in parts)


def dump(
    entities: Mapping[int, bytes], chip: int = 6, most: int = MOST, size: int = CHUNK
) -> bytes:
    """A dump of these entities' raw bytes, by number; `chip` is what FreeBSD writes of a T6."""
    heads, data, at = {}, [], 56 + 52 * most
    for number, raw in entities.items():
        body = packed(raw, size)
        pad = -len(body) % 4
        heads[number] = struct.pack("<IIIiIIB27x", number, at, len(body) + pad, 0, 0, 0, pad)
        data.append(body + bytes(pad))
        at += len(data[-1])
    head = struct.pack("<IIHHIIHBB32x", 67856866, 56, 1, 14, at, 0, most, chip, 0)
    table = b"".join(heads.get(number, bytes(52)) for number in range(1, most + 1))
    return head + table + b"".join(data)
