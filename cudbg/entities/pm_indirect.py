"""PM_INDIRECT: debug words of the payload memory's managers."""

from vmcoredd.cudbg.entity import entity
from vmcoredd.cudbg.ireg import IregEntity


@entity(51, "PM_INDIRECT", groups=("pm_rx", "pm_tx"))
class PmIndirect(IregEntity):
    """cudbg_collect_pm_indirect()."""
