"""A healthy card's dump with words of its register dump replaced."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from carddump import collected

from vmcoredd import cudbg
from vmcoredd.chip import T6, Chip


class Doctored(cudbg.Dump):
    """A dump whose REG_DUMP is given."""

    registers: bytes

    def blob(self, name: str) -> cudbg.decoded.Bytes:
        """The given registers, or an entity of the healthy card."""
        return memoryview(self.registers) if name == "REG_DUMP" else super().blob(name)


def doctored(words: Mapping[int, int], chip: Chip = T6, fill: int | None = None) -> cudbg.Dump:
    """The dump of the chip's card with these words, by offset, instead of its own; `fill` is the
    byte that all others are made of."""
    healthy = collected(chip)
    registers = bytearray(healthy.dump.raw("REG_DUMP"))
    if fill is not None:
        registers[:] = bytes([fill]) * len(registers)
    for offset, value in words.items():
        struct.pack_into("<I", registers, offset, value)
    dump = Doctored(healthy.data)
    dump.registers = bytes(registers)
    return dump
