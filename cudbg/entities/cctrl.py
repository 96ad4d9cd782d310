"""CCTRL: the congestion control table: additive increments by MTU and window."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u16, u32s
from vmcoredd.chip.tp import CCTRL_TABLE, CONGESTION_WINDOWS, MTUS
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Each, Io, Read, Write

_INCREMENT = 0x1FFF


class Layout(LittleStruct):
    """The increments, windows of one MTU together."""

    _fields_ = (("incr", u16 * CCTRL_TABLE.rows),)


@entity(60, "CCTRL")
class Cctrl(Entity):
    """cudbg_collect_cctrl()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        table = chip.r.TP_CCTRL_TABLE
        words = u32s(
            io.run([Write(table, Each(CCTRL_TABLE.prefix)), Read(table)], CCTRL_TABLE.rows)
        )
        layout.incr = [word & _INCREMENT for word in words]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("window", "d"), *(Column(f"MTU {i}", "d") for i in range(MTUS))]
        return Decoded([Table("increments", columns, list(_rows(layout)))])


def _rows(layout: Layout) -> Iterator[list[Value]]:
    for window in range(CONGESTION_WINDOWS):
        yield [window, *layout.incr[window::CONGESTION_WINDOWS]]
