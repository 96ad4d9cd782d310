"""The firmware's device log: a ring of fixed records in adapter memory (t4fw_api.h)."""

from __future__ import annotations

from enum import IntEnum, unique

from vmcoredd.chip.layout import BigStruct, u8, u16, u32, u64

FORMAT_BYTES = 192
PARAMS = 8
ENTRIES_UNIT = 128
"""PCIE_FW_PF[7].NENTRIES128 holds the number of records in units of this many, minus one."""
ADDRESS_UNIT = 16
"""The unit of the log's address in registers and commands, in bytes (ADDR16)."""
DEVLOG_PF = 7
"""The element of PCIE_FW_PF that locates the log (PCIE_FW_PF_DEVLOG)."""


@unique
class Level(IntEnum):
    """enum fw_devlog_level."""

    EMERG = 0
    CRIT = 1
    ERR = 2
    NOTICE = 3
    INFO = 4
    DEBUG = 5


@unique
class Facility(IntEnum):
    """enum fw_devlog_facility: the part of the firmware that wrote the record."""

    CORE = 0x00
    CF = 0x01
    SCHED = 0x02
    TIMER = 0x04
    RES = 0x06
    HW = 0x08
    FLR = 0x10
    DMAQ = 0x12
    PHY = 0x14
    MAC = 0x16
    PORT = 0x18
    VI = 0x1A
    FILTER = 0x1C
    ACL = 0x1E
    TM = 0x20
    QFC = 0x22
    DCB = 0x24
    ETH = 0x26
    OFLD = 0x28
    RI = 0x2A
    ISCSI = 0x2C
    FCOE = 0x2E
    FOISCSI = 0x30
    FOFCOE = 0x32
    CHNET = 0x34


class DevlogEntry(BigStruct):
    """A record (struct fw_devlog_e), 256 bytes: a printf format and its operands.

    The text is `fmt`, up to its first zero byte, applied to `params`. A record is empty if its
    `timestamp` is 0. The oldest record of the ring has the lowest `seqno`.
    """

    _fields_ = (
        ("timestamp", u64),
        ("seqno", u32),
        ("reserved1", u16),
        ("level", u8),
        ("facility", u8),
        ("fmt", u8 * FORMAT_BYTES),
        ("params", u32 * PARAMS),
        ("reserved3", u32 * 4),
    )


def level_name(level: int) -> str:
    """Returns a name such as `ERR`, or UNKNOWN, as the driver's debugfs shows it."""
    return Level(level).name if level in Level._value2member_map_ else "UNKNOWN"


def facility_name(facility: int) -> str:
    """Returns a name such as `PORT`, or UNKNOWN."""
    return Facility(facility).name if facility in Facility._value2member_map_ else "UNKNOWN"
