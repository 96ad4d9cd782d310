"""Reads cudbg dumps. It shares nothing with `vmcoredd.cudbg`: the tests' second opinion.

The layout is that of `struct cudbg_hdr`, `struct cudbg_entity_hdr` (cudbg_if.h, cudbg_lib_common.h)
and `struct cudbg_compress_hdr` (cudbg_zlib.h), all little-endian.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SIGNATURE = 67856866
HEADER = struct.Struct("<IIHHIIHBB8x")
ENTITY = struct.Struct("<IIIiiiBB2xI20x")
PIECE = struct.Struct("<I4xQQ256x")
ZLIB_PIECE = 17
NONE, ZLIB = 1, 2
STATUS = {
    0: "good",
    -19: "no room",
    -24: "not found",
    -28: "not implemented",
    -29: "system error",
    -32: "no clock",
    -41: "partial",
}


class DumpError(Exception):
    """The bytes are not a dump, or the dump is damaged."""


@dataclass(frozen=True)
class Entity:
    """One entity's header and data; `raw` is inflated and has no padding."""

    number: int
    start: int
    size: int
    flags: int
    sys_warn: int
    sys_err: int
    padding: int
    raw: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        return self.flags == 0

    @property
    def codes(self) -> tuple[int, int, int]:
        """Returns (hdr_flags, sys_err, sys_warn)."""
        return self.flags, self.sys_err, self.sys_warn

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


@dataclass(frozen=True)
class Dump:
    """A whole dump; `entities`, by number, are in the order of collection."""

    chip: int
    compression: int
    length: int
    entities: dict[int, Entity]


def read(data: bytes | bytearray | memoryview) -> Dump:
    """Parses a dump; bytes past its length are ignored. Raises DumpError."""
    view = memoryview(data)
    if len(view) < HEADER.size:
        raise DumpError(f"{len(view)} bytes hold no dump")
    signature, size, _, _, length, _, highest, chip, kind = HEADER.unpack_from(view)
    if signature != SIGNATURE:
        raise DumpError(f"signature {signature:#x}, not {SIGNATURE:#x}")
    if not size + highest * ENTITY.size <= length <= len(view):
        raise DumpError(f"length {length} does not fit {highest} entities and {len(view)} bytes")
    headers = (size + index * ENTITY.size for index in range(highest))
    found = [entity for at in headers if (entity := _entity(view, at, kind >> 4))]
    found.sort(key=lambda entity: (entity.start, entity.size))
    return Dump(chip, kind >> 4, length, {entity.number: entity for entity in found})


def _entity(view: memoryview, offset: int, compression: int) -> Entity | None:
    number, start, size, flags, warn, err, padding, _, _ = ENTITY.unpack_from(view, offset)
    if not number:
        return None
    if start + size > len(view) or padding > size:
        raise DumpError(f"entity {number}: {size} bytes at {start} of {len(view)}")
    stored = view[start : start + size - padding]
    raw = b"".join(_inflate(stored, number)) if compression == ZLIB else bytes(stored)
    return Entity(number, start, size, flags, warn, err, padding, raw)


def _inflate(stored: memoryview, number: int) -> Iterator[bytes]:
    offset = 0
    while offset < len(stored):
        if len(stored) - offset < PIECE.size:
            raise DumpError(f"entity {number}: truncated compression header at {offset}")
        mark, plain, packed = PIECE.unpack_from(stored, offset)
        offset += PIECE.size
        if mark != ZLIB_PIECE or packed > len(stored) - offset:
            raise DumpError(f"entity {number}: no compressed piece before {offset}")
        piece = zlib.decompress(stored[offset : offset + packed])
        if len(piece) != plain:
            raise DumpError(f"entity {number}: {len(piece)} bytes inflated, {plain} expected")
        yield piece
        offset += packed


def names(kernel: Path) -> dict[int, str]:
    """Returns the entities' names by number, from the kernel's own header."""
    text = (kernel / "drivers/net/ethernet/chelsio/cxgb4/cudbg_if.h").read_text()
    found = re.findall(r"(?m)^\s*CUDBG_(\w+)\s*=\s*(\d+),?$", text)
    return {int(number): name for name, number in found}
