"""A core without a card, and its access functions, for the emulator's tests."""

from __future__ import annotations

from vmcoredd.chip import T6
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.core import Core
from vmcoredd.emu.errors import AccessError

BAR0_BYTES = 0x80000
R = T6.r
SCRATCH = int(R.PCIE_FID_VFID)
"""Offset of 2048 consecutive words that tests may use freely."""


def core(*, strict: bool = False) -> Core:
    """Returns a core with a T6's words as the tables describe them, and no silicon."""
    return Core(T6, {0: BAR0_BYTES}, strict=strict)


def read(core: Core, offset: int, length: int = 4) -> bytes:
    """Reads bytes in one access."""
    data = ffi.new("uint8_t[]", max(length, 1))
    core.access(0, offset, data, length, write=False)
    return bytes(ffi.buffer(data, length))


def word(core: Core, offset: int) -> int:
    """Reads a register."""
    return int.from_bytes(read(core, offset), "little")


def write(core: Core, offset: int, *words: int) -> None:
    """Writes words in one access."""
    data = b"".join(value.to_bytes(4, "little") for value in words)
    core.access(0, offset, ffi.from_buffer(data), len(data), write=True)


def refused(core: Core, offset: int, *words: int, length: int = 4) -> int:
    """Returns the errno of a write of these words or a read of this length; 0 on success."""
    try:
        write(core, offset, *words) if words else read(core, offset, length)
    except AccessError as error:
        return error.errno or 0
    return 0
