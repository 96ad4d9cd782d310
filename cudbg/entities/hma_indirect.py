"""HMA_INDIRECT: the host memory agent's own registers."""

from vmcoredd.chip import T6
from vmcoredd.cudbg.entity import entity
from vmcoredd.cudbg.ireg import IregEntity


@entity(67, "HMA_INDIRECT", groups=("hma",))
class HmaIndirect(IregEntity):
    """cudbg_collect_hma_indirect()."""

    chips = (T6,)
