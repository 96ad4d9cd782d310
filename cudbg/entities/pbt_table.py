"""PBT_TABLE: the embedded processor's page and function tables."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.cim import PBT_TABLES
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.indirect import cim_read_ops
from vmcoredd.hw.io import Cell, Io

_SIZE = 4 * sum(table.words for table in PBT_TABLES)


@entity(65, "PBT_TABLE")
class PbtTable(Entity):
    """cudbg_collect_pbt_tables(): four tables, one after the other."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(_SIZE)
        words = [t.address + 4 * i for t in PBT_TABLES for i in range(t.words)]
        io.run(cim_read_ops(chip, Cell()), words, area)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, _SIZE))
        columns = [
            Column("table"),
            Column("entry", "d"),
            Column("address", "x4"),
            Column("value", "x8"),
        ]
        return Decoded([Table("entries", columns, Lazy(lambda: _rows(words)))])


def _rows(words: tuple[int, ...]) -> list[list[Value]]:
    places = [(t.name, i, t.address + 4 * i) for t in PBT_TABLES for i in range(t.words)]
    return [[*place, word] for place, word in zip(places, words, strict=True)]
