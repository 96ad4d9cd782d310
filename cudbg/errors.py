"""The errors of this package, and the status codes in a dump."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from vmcoredd.hw.errors import errno_name
from vmcoredd.plural import exact

_logger = logging.getLogger(__name__)


class Code(IntEnum):
    """Status codes of cudbg itself (cudbg_if.h); an entity's status may also be an errno."""

    NO_MEM = -19
    ENTITY_NOT_FOUND = -24
    NOT_IMPLEMENTED = -28
    SYSTEM_ERROR = -29
    CCLK_NOT_DEFINED = -32
    NOT_REQUESTED = -35
    PARTIAL_DATA = -41


_MEANINGS: dict[int, str] = {
    Code.NO_MEM: "no room left in the dump (or no such device)",
    Code.ENTITY_NOT_FOUND: "not found, or switched off",
    Code.NOT_IMPLEMENTED: "not implemented (or no space left)",
    Code.SYSTEM_ERROR: "system error",
    Code.CCLK_NOT_DEFINED: "core clock unknown",
    Code.NOT_REQUESTED: "not requested",
    Code.PARTIAL_DATA: "partial data",
}


def describe(code: int) -> str:
    """Returns a status in words: `-19: no room left in the dump (or no such device)`."""
    if code == 0:
        return "good"
    return f"{code}: {_MEANINGS.get(code) or errno_name(code)}"


class CudbgError(Exception):
    """The base of this package's errors."""


class DumpFormatError(CudbgError):
    """A dump, or a part of one, has the wrong size or impossible content."""

    def __init__(self, what: str, need: int | None = None, have: int | None = None) -> None:
        self.what, self.need, self.have = what, need, have
        sizes = "" if need is None else f": need {exact(need, 'byte')}, have {have}"
        super().__init__(what + sizes)


@contextmanager
def unexpected_is_damage(what: str) -> Iterator[None]:
    """Makes whatever a decoder does not expect in its data a DumpFormatError of `what`."""
    try:
        yield
    except (CudbgError, MemoryError):
        raise
    except Exception as error:
        _logger.debug("decoding %s", what, exc_info=True)
        raise DumpFormatError(f"{what}: not decoded: {type(error).__name__}: {error}") from error


class UnknownFormat(DumpFormatError):
    """A dump, or a part of one, of a kind that this version does not know. Nothing is damaged."""


class WrongSize(UnknownFormat):
    """An entity of another size than this version knows: `need` bytes, if it is `have`."""


class Status(CudbgError):
    """The failure of a collector: the status in the entity's header, and its `sys_err`.

    As in the kernel, the header holds -29 for any `sys_err` other than 0.
    """

    def __init__(self, code: int, sys_err: int = 0) -> None:
        self.code, self.sys_err = int(code), int(sys_err)
        super().__init__(f"status {self.code}, sys_err {self.sys_err}")
