"""PATH_MTU: the sixteen MTUs that connections choose from."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u16, u32s
from vmcoredd.chip.tp import MTU_TABLE, MTUS
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Each, Io, Read, Write


class Layout(LittleStruct):
    """The table, in bytes."""

    _fields_ = (("mtus", u16 * MTUS),)


@entity(27, "PATH_MTU")
class PathMtu(Entity):
    """cudbg_collect_path_mtu()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        table = chip.r.TP_MTU_TABLE
        words = u32s(io.run([Write(table, Each(MTU_TABLE.prefix)), Read(table)], MTUS))
        layout.mtus = [table.get(word, "MTUValue") for word in words]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("entry", "d"), Column("MTU in bytes", "d")]
        return Decoded([Table("path MTUs", columns, list(enumerate(layout.mtus)))])
