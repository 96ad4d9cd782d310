"""The serial flash: how its id is read, which sizes ids mean, and what lies where (t4_hw.h)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

SECTOR_BYTES = 64 << 10
PAGE_BYTES = 256
MEGABYTE = 1 << 20


class Opcode(IntEnum):
    """JEDEC commands the driver sends (t4_hw.c, SF_*)."""

    PROGRAM_PAGE = 0x02
    WRITE_DISABLE = 0x04
    READ_STATUS = 0x05
    WRITE_ENABLE = 0x06
    READ_DATA_FAST = 0x0B
    READ_ID = 0x9F
    ERASE_SECTOR = 0xD8


POLLS = 10
"""How often the driver reads SF_OP's busy bit, 5 us apart (SF_ATTEMPTS)."""


class Manufacturer(IntEnum):
    """[7:0] of an id."""

    MICRON = 0x20
    ISSI = 0x9D
    MACRONIX = 0xC2
    WINBOND = 0xEF


_SIZES: dict[int, dict[int, int]] = {
    Manufacturer.MICRON: {
        **{density: 1 << density for density in range(0x14, 0x1A)},
        0x20: 64 * MEGABYTE,
        0x21: 128 * MEGABYTE,
        0x22: 256 * MEGABYTE,
    },
    Manufacturer.ISSI: {0x16: 32 * MEGABYTE, 0x17: 64 * MEGABYTE},
    Manufacturer.MACRONIX: {0x17: 8 * MEGABYTE, 0x18: 16 * MEGABYTE},
    Manufacturer.WINBOND: {0x17: 8 * MEGABYTE, 0x18: 16 * MEGABYTE},
}
SPANSION_4M = 0x150201
"""An id that is known as a whole."""
ASSUMED_BYTES = 4 * MEGABYTE
"""What the driver takes an unknown part for."""
MINIMUM_BYTES = 2 * MEGABYTE
"""With less, the driver warns (FLASH_MIN_SIZE)."""


def flash_bytes(flash_id: int) -> int | None:
    """The size of a part by its 24-bit id (manufacturer [7:0], density [23:16]); None: unknown."""
    if flash_id == SPANSION_4M:
        return 4 * MEGABYTE
    return _SIZES.get(flash_id & 0xFF, {}).get(flash_id >> 16 & 0xFF)


class Part(NamedTuple):
    """A part of the flash; bytes from its start."""

    name: str
    start: int
    size: int


def _part(name: str, sector: int, sectors: int) -> Part:
    return Part(name, sector * SECTOR_BYTES, sectors * SECTOR_BYTES)


LAYOUT = (
    _part("EXP_ROM", 0, 6),
    _part("IBFT", 6, 1),
    _part("BOOTCFG", 7, 1),
    _part("FW", 8, 16),
    _part("FWBOOTSTRAP", 27, 1),
    _part("ISCSI_CRASH", 29, 1),
    _part("FCOE_CRASH", 30, 1),
    _part("CFG", 31, 1),
)
"""What lies where (FLASH_*_START_SEC, FLASH_*_NSECS)."""
START: dict[str, int] = {part.name: part.start for part in LAYOUT}
FW_VERSION_OFFSET = 4
TP_VERSION_OFFSET = 8
"""Words of FirmwareHeader the driver reads one by one; they stand highest byte first."""
