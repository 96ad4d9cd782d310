"""The header in front of entities that have had several layouts."""

from __future__ import annotations

from vmcoredd.chip.layout import LittleStruct, u16, u32
from vmcoredd.cudbg.errors import DumpFormatError

_SIGNATURE = 0xCCEDB001  # CUDBG_ENTITY_SIGNATURE


class VersionHeader(LittleStruct):
    """struct cudbg_ver_hdr; `size` counts what follows it."""

    _fields_ = (("signature", u32), ("revision", u16), ("size", u16))

    def set(self, revision: int, size: int) -> None:
        """Fills it."""
        self.signature, self.revision, self.size = _SIGNATURE, revision, size

    def check(self, name: str, revision: int, size: int) -> None:
        """DumpFormatError if it heads something else."""
        if self.signature != _SIGNATURE:
            raise DumpFormatError(f"{name}: signature {self.signature:#x}, not {_SIGNATURE:#x}")
        if self.revision != revision:
            raise DumpFormatError(f"{name}: revision {self.revision}, known is {revision}")
        if self.size != size:
            raise DumpFormatError(f"{name}, behind its header", size, self.size)
