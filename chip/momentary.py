"""Registers that differ between two healthy cards of one type: counters, addresses, captures, what
belongs to one card, and what its driver made of it.

Names are the source: the register database (`reg_defs`) names what a block counts `_CNT`, where a
queue stands `_RDADDR` or `_WRPTR`, and what its logic analyser or debug port holds `_LA_`, `_DBG_`
and `_DEBUG_`. `access` tells of the others that they show what was last asked for.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.register import Register
from vmcoredd.chip.volatile import is_volatile


class Kind(StrEnum):
    """Why a register differs between cards."""

    COUNTER = "a counter or a clock"
    ADDRESS = "an address, or a position in a queue"
    CAPTURE = "a capture: what a block last saw, or was last asked for"
    IDENTITY = "a card's own address or key"
    WORK = "a driver's work: queues, connections, addresses, and what it kept of them"


PATTERNS = {
    Kind.COUNTER: (
        *("*_CNT", "*_CNT[0-9]*", "*_CNT_[HL][IO]", "*_CNT_IPV[46]*", "*_SE_CNT_*", "*_PKTCNT"),
        *("TP_MIB_*", "MPS_PORT_TX_PAUSE_SOURCE_[HL]", "*_ERROR_COUNT*", "MC_*_ECC_STATUS"),
    ),  # reg_defs
    Kind.ADDRESS: (
        *("*_RDADDR", "*_WRADDR", "*_REALADDR", "*_WRPTR*", "*_RDPTR*", "UP_[IO]BQ_*_STATUS"),
        *("PCIE_MSI_*ADDR*", "PCIE_MSI_DATA", "SGE_IMSG_*", "SGE_DBVFIFO_BADDR"),
        *("PCIE_BAR[0-5]", "PCIE_EXPROM", "PCIE_SR_VFBAR[0-5]"),
    ),  # reg_defs
    Kind.CAPTURE: (
        *("*_DEBUG_*", "*DEBUGDATA*", "*_DEBUGSTS", "*_[CP]DEBUG_*", "*_DBG_*", "*_LA_*"),
        *("*_CLIENT_INTERFACE_*", "*_ARBITER_INTERFACE_*", "*_HDR_LOG[0-9]", "*_ERR_LOG[0-9]"),
        *("*_ERR_ADDR", "*_ERR_DATA*", "MC_[CU]E_ADDR", "*_ERR_FIRST_ADDR", "*MAILBOX_DATA"),
        *("SF_DATA", "PCIE_VPD_CAP", "PCIE_VPD_DATA", "MPS_RPLC_MAP_CTL", "MPS_CLS_TCAM_*DATA*"),
    ),  # reg_defs; mailboxes hold the last command: t4_hw.c, t4_wr_mbox_meat_timeout()
    Kind.WORK: (
        *("TP_TX_MOD_*_RATE_LIMIT", "TP_[RT]X_MOD_*_TIMER_SEPARATOR", "PCIE_INT_LINE_PIN"),
        *("MPS_CLS_SRAM_[HL]", "MPS_PORT_CLS_HASH_SRAM", "MPS_CLS_TCAM_[XY]_[HL]"),
        *("*MPS_VF_RPLCT_MAP[0-7]", "MPS_PF_RPLCT_MAP"),
    ),  # t4_hw.c: t4_sched_params(), t4_alloc_mac_filt(), t4_set_addr_hash() and their like
    Kind.IDENTITY: (
        *("TP_RSS_SECRET_KEY*", "*_MAC_ADDR*", "*_MAGIC_MACID_*", "PCIE_DSN_DW[12]"),
    ),  # reg_defs
}
"""Names of such registers."""
HOSTS_BITS = {
    "PCIE_STAT_CMD": 0xFFFF,
    "PCIE_DEV_STAT_CNTL": 0xFFFF,
    "PCIE_LINK_STAT_CNTL": 0xFFFF,
    "PCIE_DEV_STAT_CNTL2": 0xFFFF,
    "PCIE_LINK_STAT_CNTL2": 0xFFFF,
    "PCIE_MSI_CAP": 0x0071_0000,
    "PCIE_MSIX_CAP": 0xC000_0000,
    "PCIE_BIST_HDR_TMR_CLS": 0xFFFF,
    **dict.fromkeys(("PCIE_BAR0", "PCIE_BAR2", "PCIE_BAR4"), 0xFFFF_FFF0),
    **dict.fromkeys(("PCIE_BAR1", "PCIE_BAR3", "PCIE_BAR5"), U32_MASK),
    **dict.fromkeys(("PCIE_MSI_ADDR", "PCIE_MSI_UPR_ADDR", "PCIE_MSI_DATA"), U32_MASK),
    "PCIE_INT_LINE_PIN": 0xFF,
}
"""What each host sets as it likes: control registers, enable bits, the size of a cache line and the
latency timer, addresses, the interrupt line."""  # PCI Express Base Specification, 7.5
_ASKED = ("wo", "rs", "index", "data", "request", "window")
"""The accesses of registers that show what was last asked for: see `chip.register`."""


def kind_of(register: Register) -> Kind | None:
    """Returns why a register differs between healthy cards; None for one that tells something."""
    if is_volatile(register):
        return Kind.COUNTER
    for kind, patterns in PATTERNS.items():
        if any(fnmatchcase(register.name, pattern) for pattern in patterns):
            return kind
    return Kind.CAPTURE if register.access in _ASKED else None


@cache
def momentary() -> dict[str, Kind]:
    """Returns the kind of every such register of any chip, by its name."""
    found = {register.name: kind_of(register) for chip in CHIPS for register in chip.r}
    return {name: kind for name, kind in found.items() if kind}
