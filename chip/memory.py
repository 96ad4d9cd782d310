"""Memories, memory windows, and the regions that the firmware sets up (cudbg_lib.c, cxgb4.h)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

MEGABYTE = 1 << 20
"""The unit of base and size in the MA_*_BAR registers."""


class MemoryId(IntEnum):
    """The memories as the driver numbers them (cxgb4.h, MEM_EDC0 and so on)."""

    EDC0 = 0
    EDC1 = 1
    MC0 = 2
    MC1 = 3
    HMA = 4


class MemoryType(NamedTuple):
    """One memory. Registers and fields are given by name."""

    name: str
    number: MemoryId
    """The driver's number for the memory; also its rank in window addresses."""
    enable: str
    """The field of MA_TARGET_MEM_ENABLE that is set if the memory exists."""
    bar: str
    """The register with its base and size."""
    base: str
    size: str
    """The fields of that register."""
    meminfo_index: int
    """`idx` of the memory in MEMINFO (cudbg_entity.h, EDC0_FLAG ...)."""


MEMINFO_NAMES = ("EDC0", "EDC1", "MC", "MC0", "MC1", "HMA")
"""The memories by `idx` of MEMINFO (cxgb4_debugfs.c)."""

EDC0 = MemoryType(
    "EDC0", MemoryId.EDC0, "EDRAM0_ENABLE", "MA_EDRAM0_BAR", "EDRAM0_BASE", "EDRAM0_SIZE", 0
)
EDC1 = MemoryType(
    "EDC1", MemoryId.EDC1, "EDRAM1_ENABLE", "MA_EDRAM1_BAR", "EDRAM1_BASE", "EDRAM1_SIZE", 1
)
MC = MemoryType(
    "MC",
    MemoryId.MC0,
    "EXT_MEM0_ENABLE",
    "MA_EXT_MEMORY0_BAR",
    "EXT_MEM0_BASE",
    "EXT_MEM0_SIZE",
    2,
)
MC0 = MC._replace(name="MC0", meminfo_index=3)
MC1 = MemoryType(
    "MC1",
    MemoryId.MC1,
    "EXT_MEM1_ENABLE",
    "MA_EXT_MEMORY1_BAR",
    "EXT_MEM1_BASE",
    "EXT_MEM1_SIZE",
    4,
)
HMA = MemoryType(
    "HMA", MemoryId.HMA, "HMA_MUX", "MA_EXT_MEMORY1_BAR", "EXT_MEM1_BASE", "EXT_MEM1_SIZE", 5
)


def window_address(number: int, edc_bytes: int, mc0_bytes: int) -> int:
    """Returns the start of a memory in window addresses (t4_hw.c, t4_memory_rw_init()).

    The driver uses the size of EDC0 for both EDCs, and places HMA where MC is.
    """
    if number == MemoryId.HMA:
        return 2 * edc_bytes
    if number == MemoryId.MC1:
        return 2 * edc_bytes + mc0_bytes
    return number * edc_bytes


class MemoryWindow(NamedTuple):
    """A memory window: an element of PCIE_MEM_ACCESS_BASE_WIN and _OFFSET."""

    number: int
    base: int
    """Offset in BAR0."""
    aperture: int
    """Bytes."""


MEMWIN0 = MemoryWindow(0, 0x1B800, 2048)
"""The window the driver uses (cxgb4.h, MEMWIN0_BASE; MEMWIN_NIC)."""
WINDOW_BASE_SHIFT = 10
"""PCIEOfst of PCIE_MEM_ACCESS_BASE_WIN counts 1 << 10 bytes; Window is log2(bytes) - 10."""
NO_WINDOW = 0xFFFFFFFF
"""The driver takes this value of PCIE_MEM_ACCESS_BASE_WIN to mean that there is no window."""


class MemoryRegion(NamedTuple):
    """A region of the memories that MEMINFO names. A register that does not exist is empty."""

    name: str
    base: str
    limit: str = ""
    """The register with its last address. If empty, the region ends where the next one begins."""
    page_size: str = ""
    max_page: str = ""
    max_page_field: str = ""
    """For a region of pages, which ends at base + page size x number of pages - 1."""


REGIONS = (
    MemoryRegion("DBQ contexts", "SGE_DBQ_CTXT_BADDR"),
    MemoryRegion("IMSG contexts", "SGE_IMSG_CTXT_BADDR"),
    MemoryRegion("FLM cache", "SGE_FLM_CACHE_BADDR"),
    MemoryRegion("TCBs", "TP_CMM_TCB_BASE"),
    MemoryRegion("Pstructs", "TP_CMM_MM_BASE"),
    MemoryRegion("Timers", "TP_CMM_TIMER_BASE"),
    MemoryRegion("Rx FL", "TP_CMM_MM_RX_FLST_BASE"),
    MemoryRegion("Tx FL", "TP_CMM_MM_TX_FLST_BASE"),
    MemoryRegion("Pstruct FL", "TP_CMM_MM_PS_FLST_BASE"),
    MemoryRegion(
        "Tx payload",
        "TP_PMM_TX_BASE",
        "",
        "TP_PMM_TX_PAGE_SIZE",
        "TP_PMM_TX_MAX_PAGE",
        "PMTxMaxPage",
    ),
    MemoryRegion(
        "Rx payload",
        "TP_PMM_RX_BASE",
        "",
        "TP_PMM_RX_PAGE_SIZE",
        "TP_PMM_RX_MAX_PAGE",
        "PMRxMaxPage",
    ),
    MemoryRegion("LE hash", ""),
    MemoryRegion("iSCSI region", "ULP_RX_ISCSI_LLIMIT", "ULP_RX_ISCSI_ULIMIT"),
    MemoryRegion("TDDP region", "ULP_RX_TDDP_LLIMIT", "ULP_RX_TDDP_ULIMIT"),
    MemoryRegion("TPT region", "ULP_TX_TPT_LLIMIT", "ULP_TX_TPT_ULIMIT"),
    MemoryRegion("STAG region", "ULP_RX_STAG_LLIMIT", "ULP_RX_STAG_ULIMIT"),
    MemoryRegion("RQ region", "ULP_RX_RQ_LLIMIT", "ULP_RX_RQ_ULIMIT"),
    MemoryRegion("RQUDP region", "ULP_RX_RQUDP_LLIMIT", "ULP_RX_RQUDP_ULIMIT"),
    MemoryRegion("PBL region", "ULP_RX_PBL_LLIMIT", "ULP_RX_PBL_ULIMIT"),
    MemoryRegion("TXPBL region", "ULP_TX_PBL_LLIMIT", "ULP_TX_PBL_ULIMIT"),
    MemoryRegion("DBVFIFO region", "SGE_DBVFIFO_BADDR"),
    MemoryRegion("ULPRX state", "ULP_RX_CTX_BASE"),
    MemoryRegion("ULPTX state", "ULP_TX_ERR_TABLE_BASE"),
    MemoryRegion("On-chip queues", ""),
)
"""MEMINFO's regions, in the order in which it reads and shows them (cudbg_entity.h, cudbg_region).

LE hash is read if LE_DB_CONFIG.HASHEN is set (`chip.le.hash_region`); the size of DBVFIFO is in
SGE_DBVFIFO_SIZE; on-chip queues come from the firmware, not from a register.
"""
HIDDEN = len(REGIONS)
"""`idx` of a region that does not exist, or of a hole (T5 and T6 alike)."""


class PageCounts(NamedTuple):
    """Buffers of the MPS: the pages of each buffer group that are used and allocated."""

    register: str
    words: int
    """Consecutive words from `register` on."""
    used: str
    allocated: str
    """Fields."""


class MemorySystem(NamedTuple):
    """The differences between the chips."""

    types: tuple[MemoryType, ...]
    """The memories the chip can have, in the order in which MEMINFO checks them."""
    vfifo_enable: str
    """The field of SGE_CONTROL2 that enables the doorbell FIFO; empty if it is always on."""
    vfifo_size: str
    """The field of SGE_DBVFIFO_SIZE, in units of 4 bytes."""
    pages_of: str
    """What has pages: a channel, or on a T6 a MAC's buffer group."""
    port_pages: PageCounts
    """Pages of the ports."""
    loopback_pages: PageCounts
    """Pages of the loopback channels."""
    pm_stats: int
    """Counters of PM_RX_STAT and of PM_TX_STAT (arch.pm_stats_cnt)."""

    def type(self, name: str) -> MemoryType:
        """Returns the memory called `name`. Raises KeyError if the chip cannot have it."""
        return {each.name: each for each in self.types}[name]


T5 = MemorySystem(
    types=(EDC0, EDC1, MC0, MC1),
    vfifo_enable="VFIFO_Enable",
    vfifo_size="Size",
    pages_of="channel",
    port_pages=PageCounts("MPS_RX_PG_RSV0", 4, "USED", "ALLOC"),
    loopback_pages=PageCounts("MPS_RX_PG_RSV4", 4, "USED", "ALLOC"),
    pm_stats=5,
)
T6 = MemorySystem(
    types=(EDC0, EDC1, MC, HMA),
    vfifo_enable="",
    vfifo_size="DBVFIFO_SIZE",
    pages_of="MAC buffer group",
    port_pages=PageCounts("MPS_RX_MAC_BG_PG_CNT0", 4, "MAC_USED", "MAC_ALLOC"),
    loopback_pages=PageCounts("MPS_RX_LPBK_BG_PG_CNT0", 2, "LPBK_USED", "LPBK_ALLOC"),
    pm_stats=7,
)
