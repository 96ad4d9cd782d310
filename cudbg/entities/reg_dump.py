"""REG_DUMP: every register that may be read without harm, at its own offset."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.named import COLUMNS, named
from vmcoredd.hw.io import Cell, Io, Read

_SIZE = 332 * 1024  # T5_REGMAP_SIZE; T6 has the same


@entity(1, "REG_DUMP")
class RegDump(Entity):
    """cudbg_collect_reg_dump(): the buffer is indexed by register offset, gaps are zero."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(_SIZE)
        area[:] = bytes(_SIZE)
        ranges = chip.ranges("reg_dump")
        words = io.run([Read(Cell(0), count=Cell(1))], ranges)
        taken = 0
        for start, count in ranges:
            area[start : start + 4 * count] = words[taken : taken + 4 * count]
            taken += 4 * count

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = self.need(blob, _SIZE)
        columns = [Column("offset", "x5"), *COLUMNS]
        return Decoded([Table("registers", columns, Lazy(lambda: _rows(words, chip)))])


def _rows(words: memoryview, chip: Chip) -> Iterator[list[Value]]:
    for start, count in chip.ranges("reg_dump"):
        values = u32s(words[start : start + 4 * count])
        for i, value in enumerate(values):
            offset = start + 4 * i
            yield [offset, *named(chip, offset, value)]
