"""Opens an untrusted file and identifies its format."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from typing import Literal

from vmcoredd.vmcore.elf import MAGIC
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.kdump import SIGNATURE
from vmcoredd.vmcore.view import File, read_some

Format = Literal["elf", "kdump", "payload"]
"""A vmcore of either format, or the payload of a device dump without a note around it."""

IsPayload = Callable[[bytes], bool]
"""Tells by its first bytes whether a file is a payload of the caller's kind."""

HEAD = 16
"""Bytes by which a format is known."""
_CHUNK = 1 << 20

# Files that are often mistaken for vmcores, and how to convert them.
_OTHERS = {
    b"makedumpfile\0": "makedumpfile's flattened format (makedumpfile -R rearranges it)",
    b"DISKDUMP": "the old diskdump format",
    b"\x1f\x8b": "a gzip file (decompress it first)",
    b"\xfd7zXZ": "an xz file (decompress it first)",
    b"\x28\xb5\x2f\xfd": "a zstd file (decompress it first)",
    b"BZh": "a bzip2 file (decompress it first)",
    b"PK\3\4": "a zip archive (unpack it first)",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF document",
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


def spooled(stream: int) -> int:
    """Copies what the pipe `stream` holds to a file without a name, and returns its descriptor.

    A regular file is not copied. The file is in TMPDIR, or else in /var/tmp, which is on a disk
    where /tmp may be in memory; zeros become holes. Raises `OSError`, which names the folder where
    there is no room, and `VmcoreFormatError` for a terminal.
    """
    if os.isatty(stream):
        raise VmcoreFormatError("standard input", "a file or a pipe", "a terminal")
    if stat.S_ISREG(os.fstat(stream).st_mode) and not os.lseek(stream, 0, os.SEEK_CUR):
        return os.dup(stream)
    folder = os.environ.get("TMPDIR") or "/var/tmp"
    with tempfile.TemporaryFile(dir=folder if os.path.isdir(folder) else None) as file:
        try:
            while data := os.read(stream, _CHUNK):
                if any(data):
                    file.write(data)
                else:
                    file.seek(len(data), os.SEEK_CUR)
            file.truncate(file.tell())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise OSError(error.errno, os.strerror(error.errno), folder) from error
            raise
        return os.dup(file.fileno())


def identify(fd: File, is_payload: IsPayload | None = None) -> Format:
    """Identifies the format by the first bytes; raises `VmcoreFormatError` for an unknown one."""
    magic = read_some(fd, 0, HEAD)
    if magic.startswith(MAGIC):
        return "elf"
    if magic.startswith(SIGNATURE):
        return "kdump"
    if is_payload and is_payload(magic):
        return "payload"
    other = next((words for start, words in _OTHERS.items() if magic.startswith(start)), None)
    text = " (text)" * (magic.isascii() and "".join(magic.decode("latin-1").split()).isprintable())
    have = other or (f"first bytes {magic[:8].hex(' ')}{text}" if magic else "an empty file")
    raise VmcoreFormatError("the file", _known(is_payload), have)


def _known(is_payload: IsPayload | None) -> str:
    if is_payload:
        return "an ELF core file, a kdump file or a device dump"
    return "an ELF core file or a kdump file"


def _kind(mode: int) -> str:
    """Returns what `mode` says a file is."""
    kinds = {
        stat.S_IFDIR: "a folder (name a file in it)",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a character device")
