"""The dump that Linux's driver makes of a Chelsio adapter: collecting, parsing, decoding.

Accesses registers through an `Io`, over any transport, and knows nothing about ELF.
"""

if __name__ != "vmcoredd.cudbg":
    raise ImportError("import vmcoredd.cudbg, not cudbg")

from vmcoredd.cudbg.collection import Collected, Report, TooSmall, UnknownEntity, collect
from vmcoredd.cudbg.container import DUMP_SIZE
from vmcoredd.cudbg.decoded import Decoded
from vmcoredd.cudbg.dump import Dump, DumpEntity, NoSuchEntity, is_dump
from vmcoredd.cudbg.errors import CudbgError, DumpFormatError, Status, UnknownFormat
from vmcoredd.hw.device import Device, MailboxEntry
from vmcoredd.hw.errors import DeadDevice, DeviceError

__all__ = [
    "DUMP_SIZE",
    "Collected",
    "CudbgError",
    "DeadDevice",
    "Decoded",
    "Device",
    "DeviceError",
    "Dump",
    "DumpEntity",
    "DumpFormatError",
    "MailboxEntry",
    "NoSuchEntity",
    "Report",
    "Status",
    "TooSmall",
    "UnknownEntity",
    "UnknownFormat",
    "collect",
    "is_dump",
]
