"""The CSV tables of this package: how to read them, and the lists of words in `chip/ranges/`.

A table is plain CSV without quotes; its first line names the columns.
"""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

Row = dict[str, str]

_HERE = os.path.dirname(__file__)


def exists(folder: str, name: str) -> bool:
    """Returns whether there is a table `chip/<folder>/<name>.csv`."""
    return os.path.exists(os.path.join(_HERE, folder, f"{name}.csv"))


def lines(folder: str, name: str) -> list[str]:
    """Returns the lines of a table, starting with the names of its columns."""
    with open(os.path.join(_HERE, folder, f"{name}.csv")) as file:
        return file.read().splitlines()


def rows(folder: str, name: str) -> list[Row]:
    """Returns the rows of a table, as dictionaries keyed by column."""
    head, *body = lines(folder, name)
    columns = head.split(",")
    return [dict(zip(columns, line.split(","), strict=True)) for line in body]


class Range(NamedTuple):
    """Consecutive words: the byte offset of the first one, and their number."""

    start: int
    words: int


class IndirectRange(NamedTuple):
    """Indirect registers: one record of an entity such as TP_INDIRECT."""

    space: str
    """The space in which `Registers.at(index, space)` finds the registers."""
    address_register: str
    """The register to write an index to."""
    data_register: str
    """The register to read the word from."""
    first: int
    words: int
    step: int
    """The difference between successive indices; the CIM's indices are byte addresses."""

    @property
    def indices(self) -> range:
        """The indices, in the order in which the driver reads them."""
        return range(self.first, self.first + self.words * self.step, self.step)


@cache
def word_ranges(table: str, chip: str) -> tuple[Range, ...]:
    """Returns the rows (first, last) of `<table>_<chip>.csv`, or of `<table>.csv` if the chips
    share it."""
    own = f"{table}_{chip}"
    cells = _cells(own if exists("ranges", own) else table)
    return tuple(_range(*(int(cell, 16) for cell in row)) for row in cells)


def _range(first: int, last: int) -> Range:
    return Range(first, (last - first) // 4 + 1)


@cache
def indirect_ranges(group: str, chip: str) -> tuple[IndirectRange, ...]:
    """Returns the rows of `indirect.csv` for one group and chip, in the order of the dump.

    Raises ValueError for an unknown group.
    """
    cells = [row for row in _cells("indirect") if row[0] == group]
    if not cells:
        raise ValueError(f"no group {group!r} in ranges/indirect.csv")
    return tuple(_indirect(row) for row in cells if chip in row[1].split())


@cache
def _cells(name: str) -> list[list[str]]:
    return [line.split(",") for line in lines("ranges", name)[1:]]


def _indirect(row: list[str]) -> IndirectRange:
    _, _, space, address, data, first, words, step = row
    return IndirectRange(space, address, data, int(first, 16), int(words), int(step, 16))
