"""Opening a file that may be anything, and saying what it is."""

from __future__ import annotations

import os
import stat
from typing import Literal

from vmcoredd.vmcore.elf import MAGIC
from vmcoredd.vmcore.errors import FormatError
from vmcoredd.vmcore.kdump import SIGNATURE

Format = Literal["elf", "kdump"]

# What is often met in a vmcore's place, and what to do about it.
_OTHERS = {
    b"makedumpfile\0": "makedumpfile's flattened format (makedumpfile -R rearranges it)",
    b"DISKDUMP": "the old diskdump format",
    b"\x1f\x8b": "a gzip file (decompress it first)",
    b"\xfd7zXZ": "an xz file (decompress it first)",
    b"\x28\xb5\x2f\xfd": "a zstd file (decompress it first)",
}


def open_for_reading(path: str | os.PathLike[str]) -> int:
    """A descriptor of the file at `path`, which must be one that can be mapped and searched.

    `FormatError` for a directory, a pipe or a terminal (it does not wait for one's other end);
    `OSError` as `os.open`.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise FormatError("vmcore", "a regular file", f"one of mode {stat.filemode(mode)}")
    return fd


def identify(fd: int) -> Format:
    """Which of the formats the file has by its first bytes; `FormatError` for any other."""
    magic = os.pread(fd, 16, 0)
    if magic.startswith(MAGIC):
        return "elf"
    if magic.startswith(SIGNATURE):
        return "kdump"
    other = next((words for start, words in _OTHERS.items() if magic.startswith(start)), None)
    have = other or (f"{magic[:8]!r} at its start" if magic else "an empty file")
    raise FormatError("vmcore", "an ELF core file or a kdump file", have)
