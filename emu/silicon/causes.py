"""Errors that a block reports by a bit of its cause register and little else.

A parity error also sets the block's bit of PL_PERR_CAUSE. Those of the memory controllers and of
the Ethernet ports are in memory_controllers.py and ports.py.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.emu.silicon.model import Model, fault


class Source(NamedTuple):
    """One bit that reports an error of a block."""

    what: str
    block: str
    """The block's bit of PL_INT_CAUSE and PL_PERR_CAUSE."""
    cause: str
    bits: str
    """The bit of the cause register; if the chips name it differently, both, with a space."""
    above: tuple[str, str] = ("", "")
    """Register and bit that collect the block's causes."""
    status: tuple[str, str] = ("", "")
    """Register and bit that say where."""

    @property
    def meaning(self) -> str:
        """The text of the fault."""
        return f"{self.what}: {self.cause}."


def _mps(what: str, part: str, bit: str, collected: str) -> Source:
    """Returns a source in a part of MPS, whose bit in MPS_INT_CAUSE is `collected`."""
    return Source(what, "MPS", f"MPS_{part}", bit, ("MPS_INT_CAUSE", collected))


PARITY = {
    "parity-cim": Source("Parity of an inbound queue", "CIM", "CIM_HOST_INT_CAUSE", "IBQTP0ParErr"),
    "parity-cpl-switch": Source(
        "Parity of a map", "CPL_SWITCH", "CPL_INTR_CAUSE", "cim_op_map_perr"
    ),
    "parity-hma": Source("Parity of host memory", "HMA", "HMA_INT_CAUSE", "PERR_INT_CAUSE"),
    "parity-le": Source("Parity of the TCAM", "LE", "LE_DB_INT_CAUSE", "ParityErr TcamIntPerr"),
    "parity-ma": Source(
        "Parity of a client's queue",
        "MA",
        "MA_INT_CAUSE",
        "MEM_PERR_INT_CAUSE",
        status=("MA_PARITY_ERROR_STATUS1", "CL7_PAR_WRQUEUE_ERROR"),
    ),
    "parity-mps-cls": _mps("Parity of the MAC table", "CLS_INT_CAUSE", "MatchTCAM", "ClsInt"),
    "parity-mps-rx": _mps("Parity in receive", "RX_PERR_INT_CAUSE", "PPM0", "RxInt"),
    "parity-mps-stat": _mps("Parity of counters", "STAT_PERR_INT_CAUSE_SRAM", "Rxport", "StatInt"),
    "parity-mps-trc": _mps("Parity in tracing", "TRC_INT_CAUSE", "MiscPerr", "TrcInt"),
    "parity-mps-tx": _mps("Parity in transmit", "TX_INT_CAUSE", "Ncsi", "TxInt"),
    "parity-ncsi": Source("Parity of the CIM's data", "NCSI", "NCSI_INT_CAUSE", "CIM_DM_prty_err"),
    "parity-pcie": Source("Parity of master responses", "PCIE", "PCIE_INT_CAUSE", "MstGrpPerr"),
    "parity-pl": Source("A fatal parity error", "PL", "PL_PL_INT_CAUSE", "FatalPerr"),
    "parity-pm-rx": Source("Parity of a command", "PM_RX", "PM_RX_INT_CAUSE", "e_pcmd_par_error"),
    "parity-pm-tx": Source("Parity of a command", "PM_TX", "PM_TX_INT_CAUSE", "c_pcmd_par_error"),
    "parity-sge": Source("Parity of a FIFO", "SGE", "SGE_INT_CAUSE1", "perr_flm_CreditFifo"),
    "parity-sge-contexts": Source(
        "Parity of cached contexts", "SGE", "SGE_INT_CAUSE2", "perr_egr_ctxt_cache"
    ),
    "parity-sge-payload": Source(
        "Parity of payload", "SGE", "SGE_INT_CAUSE5", "perr_payload_fifo0"
    ),
    "parity-smb": Source("Parity of a FIFO", "SMB", "SMB_INT_CAUSE", "MstTxFifoParInt"),
    "parity-tp": Source("Parity of a cache", "TP", "TP_INT_CAUSE", "CmCachePerr"),
    "parity-ulp-rx": Source("Parity of commands", "ULP_RX", "ULP_RX_INT_CAUSE", "CAUSE_PCMDF_0"),
    "parity-ulp-tx": Source(
        "Parity of commands", "ULP_TX", "ULP_TX_INT_CAUSE", "cmd_fifo_perr_set0"
    ),
}
OTHERS = {
    "cpl-switch-framing": Source(
        "A message of TP without an end",
        "CPL_SWITCH",
        "CPL_INTR_CAUSE",
        "tp_framing_error",
    ),
    "le-unknown-command": Source(
        "The lookup engine met an unknown command", "LE", "LE_DB_INT_CAUSE", "UnknownCmd"
    ),
    "ma-timeout": Source(
        "Adapter memory did not answer in time", "MA", "MA_INT_CAUSE", "MEM_TO_INT_CAUSE"
    ),
    "mps-tx-framing": _mps("A frame without beginning or end", "TX_INT_CAUSE", "FRMERR", "TxInt"),
    "mps-tx-underflow": _mps(
        "A gap in a frame, which is normal for a T6", "TX_INT_CAUSE", "BUBBLE", "TxInt"
    ),
    "pl-timeout": Source("A register did not answer in time", "PL", "PL_PL_INT_CAUSE", "Timeout"),
    "pm-rx-framing": Source(
        "Payload without beginning or end", "PM_RX", "PM_RX_INT_CAUSE", "iespi0_Rx_framing_error"
    ),
    "pm-tx-empty-command": Source(
        "A command of length 0", "PM_TX", "PM_TX_INT_CAUSE", "zero_c_cmd_error"
    ),
    "sge-bar2-size": Source(
        "A doorbell beyond its queue's page", "SGE", "SGE_INT_CAUSE4", "bar2_egress_size_err"
    ),
    "sge-payload-checksum": Source(
        "A checksum that does not matter", "SGE", "SGE_INT_CAUSE5", "err_T_RxCRC"
    ),
    "sge-tag-mismatch": Source(
        "An answer to no request", "SGE", "SGE_INT_CAUSE6", "fatal_tag_mismatch"
    ),
    "ulp-rx-context": Source(
        "A connection's context is wrong", "ULP_RX", "ULP_RX_INT_CAUSE", "CAUSE_CTX_0"
    ),
    "ulp-tx-out-of-bounds": Source(
        "A list of pages is too short; not fatal",
        "ULP_TX",
        "ULP_TX_INT_CAUSE",
        "Pbl_bound_err_ch0",
    ),
}
SOURCES = PARITY | OTHERS


class Causes(Model):
    """Errors of all blocks, by fault."""

    @fault("{}", "{}", each={name: it.meaning for name, it in SOURCES.items()}, reports=True)
    def report(self, name: str) -> None:
        source = SOURCES[name]
        bits = self._bits(source)
        self.interrupt(source.block, self.r[source.cause], *bits)
        if name in PARITY:
            self.spaces.set_bits(self.r.PL_PERR_CAUSE, source.block)
        for other, bit in (source.above, source.status):
            if other:
                self.spaces.set_bits(self.r[other], bit)

    def _bits(self, source: Source) -> list[str]:
        """Returns the names of the bits that this chip has; NoSuchFault if it has none."""
        fields = self.r[source.cause].fields if source.cause in self.r else ()
        if found := [field.name for field in fields if field.name in source.bits.split()]:
            return found
        raise self.refuse(f"{source.bits} in {source.cause}")
