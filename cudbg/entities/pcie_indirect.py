"""PCIE_INDIRECT: debug words of the PCI Express interface."""

from vmcoredd.cudbg.entity import entity
from vmcoredd.cudbg.ireg import IregEntity


@entity(50, "PCIE_INDIRECT", groups=("pcie_pdbg", "pcie_cdbg"))
class PcieIndirect(IregEntity):
    """cudbg_collect_pcie_indirect().

    The driver makes room for twice as many records as its first table has; the sixth stays zero.
    """

    unused = 1
