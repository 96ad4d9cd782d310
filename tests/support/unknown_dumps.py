"""Turns dumps into dumps that this version does not know in full, with `struct` alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

ENTITY_BYTES = 52
NUMBERS = 72
PIECE_BYTES = 64512
CHIP, TYPES, MAJOR, MINOR = 22, 23, 8, 10
"""Offsets in a dump's header."""


def entity_at(number: int) -> int:
    """The offset of an entity's header."""
    return 56 + ENTITY_BYTES * (number - 1)


def with_byte(dump: bytes, offset: int, value: int) -> bytes:
    """`dump` with another byte at `offset`."""
    return dump[:offset] + bytes([value]) + dump[offset + 1 :]


def with_entity(dump: bytes, number: int, raw: bytes) -> bytes:
    """A zlib dump with other data for an entity, behind its end."""
    data = b"".join(_piece(raw[at : at + PIECE_BYTES]) for at in range(0, len(raw), PIECE_BYTES))
    head = struct.pack("<III", number, len(dump), len(data)).ljust(ENTITY_BYTES, b"\0")
    at = entity_at(number)
    return dump[:at] + head + dump[at + ENTITY_BYTES :] + data


def _piece(raw: bytes) -> bytes:
    stream = zlib.compress(raw)
    return struct.pack("<I4xQQ256x", 17, len(raw), len(stream)) + stream


def big_endian(dump: bytes) -> bytes:
    """A zlib dump with the headers of a big-endian host."""
    data = bytearray(dump)
    for number in range(1, NUMBERS + 1):
        at = entity_at(number)
        start, size, pad = *struct.unpack_from("<II", data, at + 4), data[at + 24]
        end = start + size - pad
        while start < end:
            (length,) = struct.unpack_from("<Q", data, start + 16)
            _swap(data, start, "I")
            _swap(data, start + 8, "QQ")
            start += 280 + length
        _swap(data, at, "6I")
        _swap(data, at + 28, "I")
    _swap(data, 0, "IIHHIIH")
    data[TYPES] = data[TYPES] >> 4 | (data[TYPES] & 7) << 5  # bit fields begin at the top bit
    return bytes(data)


def _swap(data: bytearray, at: int, form: str) -> None:
    struct.pack_into(f">{form}", data, at, *struct.unpack_from(f"<{form}", data, at))


class Kind(NamedTuple):
    """A way in which a whole dump is unknown."""

    made: Callable[[bytes], bytes]
    reason: str
    """Why its entities are not decoded."""
    undecoded: int
    """How many of the 50 good entities of a T6 are not."""
    adapter: str = "T6 rev 0"
    compression: str = "zlib"


KINDS = {
    "T4": Kind(
        lambda dump: with_byte(dump, CHIP, 0x42),
        "chip T4 (0x42): only entities of T5 and T6 are decoded",
        50,
        adapter="T4 rev 2",
    ),
    "T7": Kind(
        lambda dump: with_byte(dump, CHIP, 0x70),
        "chip T7 (0x70): only entities of T5 and T6 are decoded",
        50,
        adapter="T7 rev 0",
    ),
    "compression": Kind(
        lambda dump: with_byte(dump, TYPES, 0x51),
        "compression type 5: only zlib and FastLZ are unpacked",
        50,
        compression="type 5",
    ),
    "format": Kind(
        lambda dump: with_byte(dump, MAJOR, 2),
        "format 2.14: only entities of format 1 are decoded",
        50,
    ),
    "big-endian": Kind(
        big_endian,
        "big-endian host: only DEV_LOG, EDC0, EDC1, MC0, MC1, HMA are decoded"
        " (the adapter's bytes)",
        46,
    ),
}
