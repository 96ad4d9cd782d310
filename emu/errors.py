"""The errors of an emulated card, all derived from `EmuError`."""

from __future__ import annotations

import errno
import os

from vmcoredd.plural import exact


class EmuError(Exception):
    """The base of all errors in this room."""


class ProfileError(EmuError):
    """A profile cannot be used; names the file, the field, and the line if known."""

    def __init__(self, path: str, what: str, *, line: int = 0, field: str = "") -> None:
        location = f"{path}:{line}" if line else path
        super().__init__(f"{location}: {field}: {what}" if field else f"{location}: {what}")
        self.path, self.line, self.field = path, line, field


class NoSuchFault(EmuError):
    """The card has no fault of this name."""


class ServerDied(EmuError):
    """The server of a card ended because a fault wanted that."""


class BadArgument(EmuError):
    """A fault's argument is missing or wrong; says what it takes."""


class NotUndone(EmuError):
    """A fault cannot be undone now; says what to do instead."""


class NoSuchPort(EmuError):
    """The card has no Ethernet port of this number."""


class CardInUse(EmuError):
    """The card has a server already."""


class ModelError(EmuError):
    """A silicon model declares something that does not fit the chip or the core."""


class AccessError(EmuError, OSError):
    """The card refused an access; `errno` says why."""

    def __init__(self, code: int, region: str, offset: int, length: int, verb: str) -> None:
        text = f"{verb} of {exact(length, 'byte')} at {region} {offset:#x}: {os.strerror(code)}"
        OSError.__init__(self, code, text)

    def __str__(self) -> str:
        return f"{self.strerror} ({errno.errorcode.get(self.errno or 0, self.errno)})"
