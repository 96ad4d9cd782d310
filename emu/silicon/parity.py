"""Parity errors, which every block reports in the same way.

A block sets a bit of its cause register and its bits of PL_INT_CAUSE and PL_PERR_CAUSE. Those of
the memory controllers are in memory_controllers.py.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.emu.silicon.model import Model, fault


class Source(NamedTuple):
    """One bit that reports a parity error of a block."""

    block: str
    """The block's bit of PL_INT_CAUSE and PL_PERR_CAUSE."""
    cause: str
    bits: tuple[str, ...]
    """The bit of the cause register; if the chips name it differently, both."""
    above: tuple[str, str] = ("", "")
    """Register and bit that collect the block's causes."""
    status: tuple[str, str] = ("", "")
    """Register and bit that say where."""


SOURCES = {
    "cim": Source("CIM", "CIM_HOST_INT_CAUSE", ("IBQTP0ParErr",)),
    "cpl-switch": Source("CPL_SWITCH", "CPL_INTR_CAUSE", ("cim_op_map_perr",)),
    "le": Source("LE", "LE_DB_INT_CAUSE", ("ParityErr", "TcamIntPerr")),
    "ma": Source(
        "MA",
        "MA_INT_CAUSE",
        ("MEM_PERR_INT_CAUSE",),
        status=("MA_PARITY_ERROR_STATUS1", "CL7_PAR_WRQUEUE_ERROR"),
    ),
    "mps-cls": Source("MPS", "MPS_CLS_INT_CAUSE", ("MatchTCAM",), ("MPS_INT_CAUSE", "ClsInt")),
    "mps-rx": Source("MPS", "MPS_RX_PERR_INT_CAUSE", ("PPM0",), ("MPS_INT_CAUSE", "RxInt")),
    "mps-stat": Source(
        "MPS", "MPS_STAT_PERR_INT_CAUSE_SRAM", ("Rxport",), ("MPS_INT_CAUSE", "StatInt")
    ),
    "mps-trc": Source("MPS", "MPS_TRC_INT_CAUSE", ("MiscPerr",), ("MPS_INT_CAUSE", "TrcInt")),
    "mps-tx": Source("MPS", "MPS_TX_INT_CAUSE", ("Ncsi",), ("MPS_INT_CAUSE", "TxInt")),
    "ncsi": Source("NCSI", "NCSI_INT_CAUSE", ("CIM_DM_prty_err",)),
    "pcie": Source("PCIE", "PCIE_INT_CAUSE", ("MstGrpPerr",)),
    "pl": Source("PL", "PL_PL_INT_CAUSE", ("FatalPerr",)),
    "pm-rx": Source("PM_RX", "PM_RX_INT_CAUSE", ("e_pcmd_par_error",)),
    "pm-tx": Source("PM_TX", "PM_TX_INT_CAUSE", ("c_pcmd_par_error",)),
    "sge": Source("SGE", "SGE_INT_CAUSE1", ("perr_flm_CreditFifo",)),
    "sge-contexts": Source("SGE", "SGE_INT_CAUSE2", ("perr_egr_ctxt_cache",)),
    "sge-payload": Source("SGE", "SGE_INT_CAUSE5", ("perr_payload_fifo0",)),
    "smb": Source("SMB", "SMB_INT_CAUSE", ("MstTxFifoParInt",)),
    "tp": Source("TP", "TP_INT_CAUSE", ("CmCachePerr",)),
    "ulp-rx": Source("ULP_RX", "ULP_RX_INT_CAUSE", ("CAUSE_PCMDF_0",)),
    "ulp-tx": Source("ULP_TX", "ULP_TX_INT_CAUSE", ("cmd_fifo_perr_set0",)),
}
"""The faults `parity-...`; several of a block are in different registers."""


class Parity(Model):
    """Parity errors of all blocks but the memory controllers and the Ethernet ports."""

    @fault("parity-{}", "Block {upper} reports a parity error.", each=SOURCES, reports=True)
    def lose_parity(self, name: str) -> None:
        block, cause, bits, above, status = SOURCES[name]
        register = self.r[cause]
        known = {field.name for field in register.fields}
        self.interrupt(block, register, *(bit for bit in bits if bit in known))
        self.spaces.set_bits(self.r.PL_PERR_CAUSE, block)
        for other, bit in (above, status):
            if other:
                self.spaces.set_bits(self.r[other], bit)
