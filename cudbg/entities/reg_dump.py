"""REG_DUMP: every register that can be read safely, at its own offset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.decoded import Column, Lazy, Part, Table
from vmcoredd.cudbg.entity import Context, entity, per_chip
from vmcoredd.cudbg.words import (
    REGISTER_COLUMNS,
    Place,
    RegisterTable,
    Word,
    counter_table,
    register_cells,
)
from vmcoredd.hw.io import Cell, Io, Read

_SIZE = 332 * 1024  # T5_REGMAP_SIZE; T6 has the same


@entity(1, "REG_DUMP")
class RegDump(RegisterTable):
    """Every register that can be read safely (cudbg_collect_reg_dump()).

    The buffer is indexed by register offset; gaps are zero.
    """

    all_zero = "NOT MEASURED: All {count} words are 0, also PL_REV, which is not 0 on any card."
    raw_bytes = _SIZE
    accesses = per_chip(t5=14392, t6=10322)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(_SIZE)
        area[:] = bytes(_SIZE)
        ranges = chip.ranges("reg_dump")
        words = io.run([Read(Cell(0), count=Cell(1))], ranges)
        taken = 0
        for start, count in ranges:
            size = WORD_BYTES * count
            area[start : start + size] = words[taken : taken + size]
            taken += size

    def places(self, chip: Chip) -> Iterator[Place]:
        for start, count in chip.ranges("reg_dump"):
            for offset in range(start, start + WORD_BYTES * count, WORD_BYTES):
                yield Place(BAR0, offset, offset)

    def position(self, space: str, offset: int, chip: Chip) -> int | None:
        return offset if space == BAR0 and offset in _offsets(chip) else None

    def tables(self, words: Callable[[], list[Word]]) -> list[Part]:
        columns = [Column("offset", "x5"), *REGISTER_COLUMNS]
        rows = Lazy(lambda: ([word.offset, *register_cells(word)] for word in words()))
        return [Table("registers", columns, rows), counter_table(words)]


@cache
def _offsets(chip: Chip) -> frozenset[int]:
    """Returns the offset of each word, faster than `places` does: a verdict looks up few words."""
    ranges = chip.ranges("reg_dump")
    return frozenset(start + WORD_BYTES * i for start, count in ranges for i in range(count))
