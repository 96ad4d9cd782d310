"""What can go wrong with an emulated card, as a tree under `EmuError`."""

from __future__ import annotations

import errno
import os


class EmuError(Exception):
    """Anything this package refuses."""


class ProfileError(EmuError):
    """A card's profile is not usable: says the file, the line where known, and the field."""

    def __init__(self, path: str, what: str, *, line: int = 0, field: str = "") -> None:
        place = f"{path}:{line}" if line else path
        super().__init__(f"{place}: {field}: {what}" if field else f"{place}: {what}")
        self.path, self.line, self.field = path, line, field


class NoSuchFault(EmuError):
    """A card was to be given a fault that it cannot have."""


class ModelError(EmuError):
    """A silicon model wires something that does not fit the chip or the core."""


class AccessError(EmuError, OSError):
    """The card answered an access with an error (`errno` says which)."""

    def __init__(self, code: int, region: str, offset: int, length: int, verb: str) -> None:
        text = f"{verb} of {length} bytes at {region} {offset:#x}: {os.strerror(code)}"
        OSError.__init__(self, code, text)

    def __str__(self) -> str:
        return f"{self.strerror} ({errno.errorcode.get(self.errno or 0, self.errno)})"
