"""Lists of words that a dump reads, from the tables in `chip/ranges/`."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from vmcoredd.chip import csvfile


class Range(NamedTuple):
    """Consecutive words: where they start, and how many."""

    start: int
    words: int


class IndirectRange(NamedTuple):
    """Words behind an index port: one record of an entity such as TP_INDIRECT."""

    space: str
    """The space whose registers `Registers.at(index, space)` names."""
    address_register: str
    """The register an index is written to."""
    data_register: str
    """The register that shows the word."""
    first: int
    words: int
    step: int
    """From one index to the next; the CIM's are byte addresses."""

    @property
    def indices(self) -> range:
        """The indices in the order in which they are read."""
        return range(self.first, self.first + self.words * self.step, self.step)


@cache
def word_ranges(table: str, chip: str) -> tuple[Range, ...]:
    """The rows (first, last) of `<table>_<chip>.csv`, or of `<table>.csv` if it is for all."""
    own = f"{table}_{chip}"
    rows = _rows(own if csvfile.exists("ranges", own) else table)
    return tuple(_range(*(int(cell, 16) for cell in row)) for row in rows)


def _range(first: int, last: int) -> Range:
    return Range(first, (last - first) // 4 + 1)


@cache
def indirect_ranges(group: str, chip: str) -> tuple[IndirectRange, ...]:
    """The rows of `indirect.csv` of one group that are for this chip, in the order read."""
    rows = [row for row in _rows("indirect") if row[0] == group]
    if not rows:
        raise ValueError(f"no group {group!r} in ranges/indirect.csv")
    return tuple(_indirect(row) for row in rows if chip in row[1].split())


@cache
def _rows(name: str) -> list[list[str]]:
    return [line.split(",") for line in csvfile.lines("ranges", name)[1:]]


def _indirect(row: list[str]) -> IndirectRange:
    _, _, space, address, data, first, words, step = row
    return IndirectRange(space, address, data, int(first, 16), int(words), int(step, 16))
