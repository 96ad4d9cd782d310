"""TP_INDIRECT: the transport processor's registers behind its three index ports."""

from vmcoredd.cudbg.entity import entity
from vmcoredd.cudbg.ireg import IregEntity


@entity(36, "TP_INDIRECT", groups=("tp_pio", "tp_tm_pio", "tp_mib"))
class TpIndirect(IregEntity):
    """cudbg_collect_tp_indirect()."""
