"""Device dumps in crash dumps: the kernel's registry, the vmcore files, and their reader.

    dumps = DeviceDumps()                                    # or DeviceDumps(ElfCore.open(base))
    dumps.add_device_dump("cxgb4_0000:00:02.0", size, fill)  # fill(payload: memoryview)
    write("vmcore", dumps)
    Reader("vmcore").notes

This is the kernel's side only: nothing here depends on the content of a dump.
"""

if __name__ != "vmcoredd.vmcore":
    raise ImportError("import vmcoredd.vmcore, not vmcore")

from vmcoredd.vmcore.core import ElfCore, Load
from vmcoredd.vmcore.default import default_core
from vmcoredd.vmcore.devicedumps import DeviceDump, DeviceDumps
from vmcoredd.vmcore.errors import (
    CallbackFailed,
    DumpRefused,
    NoSuchNote,
    OutputExists,
    OutputUnsuitable,
    VmcoreError,
    VmcoreFormatError,
)
from vmcoredd.vmcore.files import spooled
from vmcoredd.vmcore.notes import Note
from vmcoredd.vmcore.notes_only import memory_of, write_notes
from vmcoredd.vmcore.output import Output, check_output, is_stdout, open_log
from vmcoredd.vmcore.proc import ProcVmcore, VmcoreFile
from vmcoredd.vmcore.reader import Reader
from vmcoredd.vmcore.writer import write

__all__ = [
    "CallbackFailed",
    "DeviceDump",
    "DeviceDumps",
    "DumpRefused",
    "ElfCore",
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
    "VmcoreFormatError",
    "check_output",
    "default_core",
    "is_stdout",
    "memory_of",
    "open_log",
    "spooled",
    "write",
    "write_notes",
]
