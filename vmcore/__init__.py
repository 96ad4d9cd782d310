"""Device dumps in crash dumps: the kernel's registry of them, the files, and their reader.

    dumps = DeviceDumps()                                    # or DeviceDumps(ElfCore.open(base))
    dumps.add_device_dump("cxgb4_0000:00:02.0", size, fill)  # fill(payload: memoryview)
    write("vmcore", dumps)
    Reader("vmcore").notes

Knows the kernel's side only: nothing here depends on what a dump holds.
"""

from vmcore.core import ElfCore, Load
from vmcore.default import default_core
from vmcore.devicedumps import DeviceDump, DeviceDumps
from vmcore.errors import (
    CallbackFailed,
    DumpRefused,
    FormatError,
    NoSuchNote,
    OutputExists,
    OutputUnsuitable,
    VmcoreError,
)
from vmcore.notes import Note
from vmcore.output import Output, check_output
from vmcore.proc import ProcVmcore, VmcoreFile
from vmcore.reader import Reader
from vmcore.writer import write

__all__ = [
    "CallbackFailed",
    "DeviceDump",
    "DeviceDumps",
    "DumpRefused",
    "ElfCore",
    "FormatError",
    "Load",
    "NoSuchNote",
    "Note",
    "Output",
    "OutputExists",
    "OutputUnsuitable",
    "ProcVmcore",
    "Reader",
    "VmcoreError",
    "VmcoreFile",
    "check_output",
    "default_core",
    "write",
]
