"""RSS: the table that spreads received packets over queues."""

from __future__ import annotations

import errno
from array import array

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u16s, u32s
from vmcoredd.chip.tp import RSS_REQUEST
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Each, Io, Op, Poll, Write

_ATTEMPTS = 5
_PER_ROW = 2
_COLUMNS = 8


@entity(22, "RSS")
class Rss(Entity):
    """cudbg_collect_rss(): one 16-bit queue id per entry, two to a row of the table."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(2 * _PER_ROW * chip.tp.rss_rows).cast("H")
        table = chip.r.TP_RSS_LKP_TABLE
        valid = table.mask("LkpTblRowVld")
        ops: list[Op] = [
            Write(table, Each(RSS_REQUEST)),
            Poll(table, valid, valid, _ATTEMPTS, error=-errno.EAGAIN, keep=True),
        ]
        words = u32s(io.run(ops, chip.tp.rss_rows))
        for i in range(_PER_ROW):
            queue = table.field(f"LkpTblQueue{i}")
            area[i::_PER_ROW] = memoryview(array("H", queue.get_each(words)))

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        queues = u16s(self.need(blob, 2 * _PER_ROW * chip.tp.rss_rows))
        columns = [Column("entry", "d"), *(Column(f"+{i}", "d") for i in range(_COLUMNS))]
        rows = Lazy(
            lambda: ([at, *queues[at : at + _COLUMNS]] for at in range(0, len(queues), _COLUMNS))
        )
        return Decoded([Table("queue ids", columns, rows)])
