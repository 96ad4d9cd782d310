"""Opens an untrusted file and identifies its format."""

from __future__ import annotations

import os
import stat
from typing import Literal

from vmcoredd.vmcore.elf import MAGIC
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.kdump import SIGNATURE

Format = Literal["elf", "kdump"]

# Files that are often mistaken for vmcores, and how to convert them.
_OTHERS = {
    b"makedumpfile\0": "makedumpfile's flattened format (makedumpfile -R rearranges it)",
    b"DISKDUMP": "the old diskdump format",
    b"\x1f\x8b": "a gzip file (decompress it first)",
    b"\xfd7zXZ": "an xz file (decompress it first)",
    b"\x28\xb5\x2f\xfd": "a zstd file (decompress it first)",
}


def open_for_reading(path: str | os.PathLike[str]) -> int:
    """Opens the file at `path` and returns its descriptor.

    Raises `VmcoreFormatError` if it is neither a regular file nor a block device (opening a pipe
    does not wait for its writer), `OSError` as `os.open` does.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        os.close(fd)
        raise VmcoreFormatError("the file", "a regular file", _kind(mode))
    return fd


def identify(fd: int) -> Format:
    """Identifies the format by the first bytes; raises `VmcoreFormatError` for an unknown one."""
    magic = os.pread(fd, 16, 0)
    if magic.startswith(MAGIC):
        return "elf"
    if magic.startswith(SIGNATURE):
        return "kdump"
    other = next((words for start, words in _OTHERS.items() if magic.startswith(start)), None)
    have = other or (f"first bytes {magic[:8].hex(' ')}" if magic else "an empty file")
    raise VmcoreFormatError("the file", "an ELF core file or a kdump file", have)


def _kind(mode: int) -> str:
    """Returns what `mode` says a file is."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a character device")
