"""Files that capture a port's frames, in pcapng: what they begin with. C appends the frames."""

from __future__ import annotations

import os
import struct

ETHERNET = 1
"""The link type of frames (LINKTYPE_ETHERNET)."""
NAME, RESOLUTION = 2, 9
"""Options of an interface: if_name and if_tsresol."""
NANOSECONDS = b"\x09"


def create(path: str | os.PathLike[str], interface: str) -> tuple[int, int]:
    """Makes a file, or empties it, and returns its length and descriptor; OSError.

    `interface` is what the file calls the port.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o644)
    try:
        return os.write(fd, beginning(interface)), fd
    except OSError:
        os.close(fd)
        raise


def beginning(interface: str) -> bytes:
    """Returns the section header and the description of its one interface."""
    section = struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1)
    options = _option(NAME, interface.encode()) + _option(RESOLUTION, NANOSECONDS) + _option(0, b"")
    described = struct.pack("=HHI", ETHERNET, 0, 0) + options
    return _block(0x0A0D0D0A, section) + _block(1, described)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length
