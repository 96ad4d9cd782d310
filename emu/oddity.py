"""Accesses that are out of order: counted by what and where, logged once each, errors when strict.

Guest errors (size, alignment, a write to a read-only word, a window over no memory) are always
answered with an error; words without behaviour and words that nothing names are answered like
plain ones, unless the card is strict.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

log = logging.getLogger("emu")


class Kind(IntEnum):
    """`enum oddity_kind` of core.h, in its order."""

    SIZE = 0
    READ_ONLY = 1
    MEMORY = 2
    UNMODELLED = 3
    UNDESCRIBED = 4

    @property
    def words(self) -> str:
        """The kind in words."""
        return _WORDS[self]

    @property
    def is_guest_error(self) -> bool:
        """Whether the guest did what no card accepts."""
        return self < Kind.UNMODELLED


_WORDS = {
    Kind.SIZE: "guest error: not whole aligned words inside the region",
    Kind.READ_ONLY: "guest error: the register is read-only",
    Kind.MEMORY: "guest error: no adapter memory there",
    Kind.UNMODELLED: "unmodelled: the register has no behaviour here",
    Kind.UNDESCRIBED: "undescribed: no table names the register",
}


@dataclass(frozen=True)
class Oddity:
    """One sort of odd access; `place` is the decoded name of what was touched."""

    kind: Kind
    verb: str
    place: str

    def __str__(self) -> str:
        return f"{self.verb} {self.place}: {self.kind.words}"


class Oddities:
    """All odd accesses to one card: `counts[Oddity]`, and totals by kind in `totals`."""

    LIMIT = 4096
    """Different oddities that are told apart; the rest are only in the totals."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.counts: Counter[Oddity] = Counter()
        self.totals: Counter[Kind] = Counter()

    def add(self, oddity: Oddity) -> int:
        """Counts one, and says what the access is answered with: 0, or -errno."""
        self.totals[oddity.kind] += 1
        if oddity in self.counts or len(self.counts) < self.LIMIT:
            self.counts[oddity] += 1
            if self.counts[oddity] == 1:
                log.warning("%s", oddity)
        return -errno.EIO if self.strict and not oddity.kind.is_guest_error else 0

    def clear(self) -> None:
        """Forgets them all."""
        self.counts.clear()
        self.totals.clear()
