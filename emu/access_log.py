"""The log of guest errors and of accesses to words that have no behaviour here.

Each distinct access is counted, and logged once, unless there are too many of its kind. Guest
errors (size or alignment, a write to a read-only word, a window at an address without memory) are
always refused. Accesses to unimplemented and undescribed words go to plain storage; a strict card
refuses them too.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

from vmcoredd.chip import Chip
from vmcoredd.emu.spaces import Space

log = logging.getLogger("emu")


class LogKind(IntEnum):
    """`enum log_kind` of core.h, in the same order."""

    GUEST_SIZE = 0
    GUEST_READ_ONLY = 1
    GUEST_MEMORY = 2
    UNIMPLEMENTED = 3
    UNDESCRIBED = 4

    @property
    def meaning(self) -> str:
        """A description of the kind, for messages."""
        return _MEANINGS[self]

    @property
    def is_guest_error(self) -> bool:
        """Whether the card refuses such an access even if it is not strict."""
        return self < LogKind.UNIMPLEMENTED


_MEANINGS = {
    LogKind.GUEST_SIZE: "guest error: not whole aligned words inside the region",
    LogKind.GUEST_READ_ONLY: "guest error: the register is read-only",
    LogKind.GUEST_MEMORY: "guest error: no adapter memory there",
    LogKind.UNIMPLEMENTED: "unimplemented: the register has no behaviour here",
    LogKind.UNDESCRIBED: "undescribed: no table names the register",
}


@dataclass(frozen=True)
class LoggedAccess:
    """One kind of access to one `location`, the name of a word or of memory."""

    kind: LogKind
    verb: str
    location: str

    def __str__(self) -> str:
        return f"{self.verb} {self.location}: {self.kind.meaning}"


class AccessLog:
    """The log of one card: `counts[LoggedAccess]`, and `totals[LogKind]`."""

    LIMIT = 4096
    """The most accesses that are counted separately; any others appear only in the totals."""
    SHOWN = 64
    """The most accesses of a kind that are logged."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.counts: Counter[LoggedAccess] = Counter()
        self.totals: Counter[LogKind] = Counter()
        self._shown: Counter[LogKind] = Counter()

    def add(self, access: LoggedAccess) -> int:
        """Counts an access. Returns 0 if it may go on, else -errno."""
        self.totals[access.kind] += 1
        if access in self.counts or len(self.counts) < self.LIMIT:
            self.counts[access] += 1
            if self.counts[access] == 1:
                self._show(access)
        return -errno.EIO if self.strict and not access.kind.is_guest_error else 0

    def clear(self) -> None:
        """Empties the log."""
        self.counts.clear()
        self.totals.clear()
        self._shown.clear()

    def log_totals(self) -> None:
        """Logs the number of accesses of each kind of which some were not shown."""
        for kind, shown in self._shown.items():
            if shown > self.SHOWN:
                log.warning("%d accesses in all: %s", self.totals[kind], kind.meaning)

    def _show(self, access: LoggedAccess) -> None:
        self._shown[access.kind] += 1
        if self._shown[access.kind] <= self.SHOWN:
            log.warning("%s", access)
        if self._shown[access.kind] == self.SHOWN:
            log.warning("more accesses of this kind are counted, but not shown")


class Names:
    """Names of words, for messages."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def of(self, space: Space, index: int) -> str:
        """Returns the name of a word, with its offset."""
        offset = index * space.stride
        register = self._chip.r.at(offset, space.name)
        return f"{register} ({offset:#x})" if register else f"{space.name} {offset:#x}"
