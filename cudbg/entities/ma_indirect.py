"""MA_INDIRECT: the memory arbiter's own registers."""

from __future__ import annotations

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.csvtables import IndirectRange
from vmcoredd.cudbg.entity import entity
from vmcoredd.cudbg.ireg import IregEntity, Record


@entity(61, "MA_INDIRECT", groups=("ma",))
class MaIndirect(IregEntity):
    """cudbg_collect_ma_indirect().

    The driver makes room for twice as many records as its first table has; the sixth stays zero.
    For words that do not follow each other it leaves the index behind the last one in the record,
    and 0 as their number.
    """

    chips = (T6,)
    unused = 1

    def describe(self, chip: Chip, item: IndirectRange, record: Record) -> None:
        super().describe(chip, item, record)
        if item.step > 1:
            record.ireg_local_offset, record.ireg_offset_range = item.indices.stop, 0
