"""A healthy card's dump with words of its entities replaced."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from carddump import collected

from vmcoredd import cudbg
from vmcoredd.chip import T6, Chip
from vmcoredd.cudbg.decoded import Bytes

Words = Mapping[int, int]
"""Values by byte offset."""


class Doctored(cudbg.Dump):
    """A dump of which some entities have other bytes."""

    other: Mapping[str, bytes]

    def blob(self, name: str) -> Bytes:
        """The bytes given, or those of the healthy card."""
        return memoryview(self.other[name]) if name in self.other else super().blob(name)


def doctored(words: Words, chip: Chip = T6, fill: int | None = None, **more: Words) -> cudbg.Dump:
    """The dump of the chip's card with `words` in its REG_DUMP, and with those of `more` in the
    entities of these names; all other bytes of REG_DUMP are `fill`, if given."""
    healthy = collected(chip)
    dump = Doctored(healthy.data)
    dump.other = {}
    for name, changes in {"REG_DUMP": words, **more}.items():
        raw = bytearray(healthy.dump.raw(name))
        if fill is not None and name == "REG_DUMP":
            raw[:] = bytes([fill]) * len(raw)
        for offset, value in changes.items():
            struct.pack_into("<I", raw, offset, value)
        dump.other[name] = bytes(raw)
    return dump
