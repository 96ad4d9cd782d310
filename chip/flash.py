"""The serial flash: its commands, the sizes of known parts, and its layout (t4_hw.h)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from vmcoredd.chip.layout import BigStruct, LittleStruct, u8, u16, u32, word

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


POLLS, POLL_DELAY_US = 10, 5
"""How many times the driver reads SF_OP's busy bit, and the delay between reads (SF_ATTEMPTS)."""


class Manufacturer(IntEnum):
    """Bits [7:0] of an id."""

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
"""An id that the driver compares as a whole."""
UNKNOWN_BYTES = 4 * MEGABYTE
"""The size the driver assumes for an unknown id."""


def flash_bytes(flash_id: int) -> int:
    """Returns the size of a part from its 24-bit id (manufacturer [7:0], density [23:16]), as
    t4_get_flash_params() does; UNKNOWN_BYTES for an unknown id."""
    if flash_id == SPANSION_4M:
        return 4 * MEGABYTE
    return _SIZES.get(flash_id & 0xFF, {}).get(flash_id >> 16 & 0xFF, UNKNOWN_BYTES)


class Part(NamedTuple):
    """A part of the flash; `start` and `size` in bytes."""

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
"""The parts in order (FLASH_*_START_SEC, FLASH_*_NSECS)."""
START: dict[str, int] = {part.name: part.start for part in LAYOUT}


class FirmwareHeader(BigStruct):
    """The 128 bytes in front of a firmware image (struct fw_hdr); `len512` counts 512 bytes."""

    _fields_ = (
        ("ver", u8),
        ("chip", u8),
        ("len512", u16),
        *word("major:24:8 minor:16:8 micro:8:8 build:0:8"),
        ("tp_microcode_ver", u32),
        ("intfver_nic", u8),
        ("intfver_vnic", u8),
        ("intfver_ofld", u8),
        ("intfver_ri", u8),
        ("intfver_iscsipdu", u8),
        ("intfver_iscsi", u8),
        ("intfver_fcoepdu", u8),
        ("intfver_fcoe", u8),
        ("reserved2", u32),
        ("reserved3", u32),
        ("reserved4", u32),
        ("flags", u32),
        ("reserved6", u32 * 23),
    )


RESETS_AFTER_HALT = 0x1
"""FirmwareHeader.flags: firmware resets the device when it restarts (FW_HDR_FLAGS_RESET_HALT)."""
FIRMWARE_VERSION = START["FW"] + 4
"""The address of the firmware's version: major, minor, micro and build, a byte each, highest first
(FirmwareHeader.major and so on)."""


class BootHeader(LittleStruct):
    """The start of a PCI option ROM as the driver reads it (t4_hw.c, t4_get_exprom_version())."""

    _fields_ = (("hdr_arr", u8 * 16), ("version", u8 * 4))
