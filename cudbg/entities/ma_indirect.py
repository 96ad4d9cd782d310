"""MA_INDIRECT: the memory arbiter's own registers."""

from __future__ import annotations

from chip import T6, Chip
from cudbg.entity import Context, entity
from cudbg.io import Io
from cudbg.ireg import IregEntity, records


@entity(61, "MA_INDIRECT", groups=("ma",))
class MaIndirect(IregEntity):
    """cudbg_collect_ma_indirect().

    The driver makes room for twice as many records as its first table has; the sixth stays zero.
    For words that do not follow each other it leaves the index behind the last one in the record,
    and 0 as their number.
    """

    chips = (T6,)
    unused = 1

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(self.size(chip))
        for item, record, words in records(area, self.ranges(chip)):
            record.describe(chip, item)
            self.read(io, chip, item, words)
            if item.step > 1:
                record.ireg_local_offset, record.ireg_offset_range = item.indices.stop, 0
