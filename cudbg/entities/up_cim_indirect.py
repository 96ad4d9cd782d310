"""UP_CIM_INDIRECT: the embedded processor's registers."""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.csvtables import IndirectRange
from vmcoredd.cudbg.entity import Context, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.ireg import IregEntity
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import Group, cim_read
from vmcoredd.hw.io import Io

_CONSECUTIVE = 4


@entity(64, "UP_CIM_INDIRECT", groups=("up_cim",))
class UpCimIndirect(IregEntity):
    """cudbg_collect_up_cim_indirect(); its failures leave sys_err 0."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        try:
            super().collect(io, chip, ctx)
        except DeadDevice:
            raise
        except DeviceError as error:
            raise Status(error.code) from error

    def read(self, io: Io, chip: Chip, ranges: Sequence[IndirectRange], words: memoryview) -> None:
        """Words that follow each other in one go, others one by one (t4_cim_read())."""
        groups: list[Group] = []
        for item in ranges:
            if item.step == _CONSECUTIVE:
                groups.append((item.first, item.words))
            else:
                groups += [(address, 1) for address in item.indices]
        cim_read(io, chip, groups, words)
