"""REG_DUMP: every register that can be read safely, at its own offset."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES, u32s
from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity, per_chip
from vmcoredd.hw.io import Cell, Io, Read

_SIZE = 332 * 1024  # T5_REGMAP_SIZE; T6 has the same


@entity(1, "REG_DUMP")
class RegDump(Entity):
    """Every register that can be read safely (cudbg_collect_reg_dump()).

    The buffer is indexed by register offset; gaps are zero.
    """

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

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = self.need(blob, _SIZE)
        columns = [Column("offset", "x5"), *REGISTER_COLUMNS]
        return Decoded([Table("registers", columns, Lazy(lambda: _rows(words, chip)))])


def _rows(words: memoryview, chip: Chip) -> Iterator[list[Value]]:
    for start, count in chip.ranges("reg_dump"):
        for i, value in enumerate(u32s(words[start : start + WORD_BYTES * count])):
            offset = start + WORD_BYTES * i
            yield [offset, *register_cells(chip, offset, value)]


REGISTER_COLUMNS = (Column("register"), Column("value", "x8"), Column("fields"))
"""The columns of `register_cells`, which other entities use too."""


def register_cells(chip: Chip, offset: int, word: int, space: str = BAR0) -> list[Value]:
    """Returns the name of the register at `offset` of a space, its word, and its fields."""
    found = chip.r.at(offset, space)
    if found is None:
        return ["", word, {}]
    return [str(found), word, found.register.decode(word)]
