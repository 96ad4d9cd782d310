"""The dump of a Chelsio adapter as its Linux driver makes it: collecting, taking apart, decoding.

Knows registers through an `Io` and nothing of how that reaches them, nor of ELF.
"""

from cudbg.collection import Collected, Report, TooSmall, UnknownEntity, collect
from cudbg.container import DUMP_SIZE
from cudbg.decoded import Decoded
from cudbg.device import Device, MailboxEntry
from cudbg.dump import Dump, DumpEntity, NoSuchEntity, is_dump
from cudbg.errors import CudbgError, DeadDevice, DeviceError, FormatError, Status
from cudbg.order import NUMBERS, ORDER

__all__ = [
    "DUMP_SIZE",
    "NUMBERS",
    "ORDER",
    "Collected",
    "CudbgError",
    "DeadDevice",
    "Decoded",
    "Device",
    "DeviceError",
    "Dump",
    "DumpEntity",
    "FormatError",
    "MailboxEntry",
    "NoSuchEntity",
    "Report",
    "Status",
    "TooSmall",
    "UnknownEntity",
    "collect",
    "is_dump",
]
