"""HMA_INDIRECT: the host memory agent's own registers."""

from chip import T6
from cudbg.entity import entity
from cudbg.ireg import IregEntity


@entity(67, "HMA_INDIRECT", groups=("hma",))
class HmaIndirect(IregEntity):
    """cudbg_collect_hma_indirect()."""

    chips = (T6,)
