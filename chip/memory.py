"""The adapter's memories, the windows on them, and the regions firmware makes in them."""

from __future__ import annotations

from typing import NamedTuple

MEGABYTE = 1 << 20
"""MA_*_BAR registers count base and size in this."""


class MemoryType(NamedTuple):
    """One memory. Registers and fields are given by name."""

    name: str
    number: int
    """What the driver calls it (cxgb4.h, MEM_EDC0 ...); also its rank in window addresses."""
    enable: str
    """The field of MA_TARGET_MEM_ENABLE that says it is there."""
    bar: str
    """The register with its base and size."""
    base: str
    size: str
    """The fields of it."""
    meminfo_index: int
    """`idx` of the memory in MEMINFO (cudbg_entity.h, EDC0_FLAG ...)."""


MEMINFO_NAMES = ("EDC0", "EDC1", "MC", "MC0", "MC1", "HMA")
"""What MEMINFO's `idx` stands for (cxgb4_debugfs.c)."""

EDC0 = MemoryType("EDC0", 0, "EDRAM0_ENABLE", "MA_EDRAM0_BAR", "EDRAM0_BASE", "EDRAM0_SIZE", 0)
EDC1 = MemoryType("EDC1", 1, "EDRAM1_ENABLE", "MA_EDRAM1_BAR", "EDRAM1_BASE", "EDRAM1_SIZE", 1)
MC = MemoryType(
    "MC", 2, "EXT_MEM0_ENABLE", "MA_EXT_MEMORY0_BAR", "EXT_MEM0_BASE", "EXT_MEM0_SIZE", 2
)
MC0 = MC._replace(name="MC0", meminfo_index=3)
MC1 = MemoryType(
    "MC1", 3, "EXT_MEM1_ENABLE", "MA_EXT_MEMORY1_BAR", "EXT_MEM1_BASE", "EXT_MEM1_SIZE", 4
)
HMA = MemoryType("HMA", 4, "HMA_MUX", "MA_EXT_MEMORY1_BAR", "EXT_MEM1_BASE", "EXT_MEM1_SIZE", 5)


def window_address(number: int, edc_bytes: int, mc0_bytes: int) -> int:
    """Where a memory begins for a memory window (t4_hw.c, t4_memory_rw_init()).

    The driver reckons with the size of EDC0 alone, and gives HMA the place of MC.
    """
    if number == HMA.number:
        return 2 * edc_bytes
    if number == MC1.number:
        return 2 * edc_bytes + mc0_bytes
    return number * edc_bytes


class Window(NamedTuple):
    """A memory window: an element of PCIE_MEM_ACCESS_BASE_WIN and _OFFSET, and what it shows."""

    number: int
    base: int
    """Offset in BAR0."""
    aperture: int
    """Bytes."""


MEMWIN0 = Window(0, 0x1B800, 2048)
"""The one the driver uses (cxgb4.h, MEMWIN0_BASE; MEMWIN_NIC)."""
WINDOW_BASE_SHIFT = 10
"""PCIEOfst of PCIE_MEM_ACCESS_BASE_WIN counts 1 << this bytes; Window is log2(bytes) less it."""
NO_WINDOW = 0xFFFFFFFF
"""What the driver takes for a window that is not there."""


class Region(NamedTuple):
    """A part of the memories that MEMINFO names; registers by name, empty where there is none."""

    name: str
    base: str
    limit: str = ""
    """The register that bounds it. Where it is empty, the next region does."""
    page_size: str = ""
    max_page: str = ""
    max_page_field: str = ""
    """Regions of pages: base + page size x number of pages - 1 bounds them."""


REGIONS = (
    Region("DBQ contexts", "SGE_DBQ_CTXT_BADDR"),
    Region("IMSG contexts", "SGE_IMSG_CTXT_BADDR"),
    Region("FLM cache", "SGE_FLM_CACHE_BADDR"),
    Region("TCBs", "TP_CMM_TCB_BASE"),
    Region("Pstructs", "TP_CMM_MM_BASE"),
    Region("Timers", "TP_CMM_TIMER_BASE"),
    Region("Rx FL", "TP_CMM_MM_RX_FLST_BASE"),
    Region("Tx FL", "TP_CMM_MM_TX_FLST_BASE"),
    Region("Pstruct FL", "TP_CMM_MM_PS_FLST_BASE"),
    Region(
        "Tx payload",
        "TP_PMM_TX_BASE",
        "",
        "TP_PMM_TX_PAGE_SIZE",
        "TP_PMM_TX_MAX_PAGE",
        "PMTxMaxPage",
    ),
    Region(
        "Rx payload",
        "TP_PMM_RX_BASE",
        "",
        "TP_PMM_RX_PAGE_SIZE",
        "TP_PMM_RX_MAX_PAGE",
        "PMRxMaxPage",
    ),
    Region("LE hash", ""),
    Region("iSCSI region", "ULP_RX_ISCSI_LLIMIT", "ULP_RX_ISCSI_ULIMIT"),
    Region("TDDP region", "ULP_RX_TDDP_LLIMIT", "ULP_RX_TDDP_ULIMIT"),
    Region("TPT region", "ULP_TX_TPT_LLIMIT", "ULP_TX_TPT_ULIMIT"),
    Region("STAG region", "ULP_RX_STAG_LLIMIT", "ULP_RX_STAG_ULIMIT"),
    Region("RQ region", "ULP_RX_RQ_LLIMIT", "ULP_RX_RQ_ULIMIT"),
    Region("RQUDP region", "ULP_RX_RQUDP_LLIMIT", "ULP_RX_RQUDP_ULIMIT"),
    Region("PBL region", "ULP_RX_PBL_LLIMIT", "ULP_RX_PBL_ULIMIT"),
    Region("TXPBL region", "ULP_TX_PBL_LLIMIT", "ULP_TX_PBL_ULIMIT"),
    Region("DBVFIFO region", "SGE_DBVFIFO_BADDR"),
    Region("ULPRX state", "ULP_RX_CTX_BASE"),
    Region("ULPTX state", "ULP_TX_ERR_TABLE_BASE"),
    Region("On-chip queues", ""),
)
"""MEMINFO's regions in its order, which is also that of its reads (cudbg_entity.h, cudbg_region).

LE hash is read if LE_DB_CONFIG.HASHEN is set (`chip.le.hash_region`); DBVFIFO has its size in
SGE_DBVFIFO_SIZE; on-chip queues come from the firmware, not from a register.
"""
HIDDEN = len(REGIONS)
"""`idx` of a region that is not there, or of a hole (T5 and T6 alike)."""


class PageCounts(NamedTuple):
    """Buffers of the MPS: used and allocated pages of each buffer group."""

    register: str
    words: int
    """Consecutive words from `register` on."""
    used: str
    allocated: str
    """Fields."""


class Memory(NamedTuple):
    """What differs by chip."""

    types: tuple[MemoryType, ...]
    """Those there can be, in the order in which MEMINFO looks for them."""
    vfifo_enable: str
    """The field of SGE_CONTROL2 that says the doorbell FIFO is on; empty: it always is."""
    vfifo_size: str
    """The field of SGE_DBVFIFO_SIZE, in units of 4 bytes."""
    port_pages: PageCounts
    loopback_pages: PageCounts

    def type(self, name: str) -> MemoryType:
        """The memory of that name; KeyError if the chip cannot have it."""
        return {each.name: each for each in self.types}[name]


T5 = Memory(
    types=(EDC0, EDC1, MC0, MC1),
    vfifo_enable="VFIFO_Enable",
    vfifo_size="Size",
    port_pages=PageCounts("MPS_RX_PG_RSV0", 4, "USED", "ALLOC"),
    loopback_pages=PageCounts("MPS_RX_PG_RSV4", 4, "USED", "ALLOC"),
)
T6 = Memory(
    types=(EDC0, EDC1, MC, HMA),
    vfifo_enable="",
    vfifo_size="DBVFIFO_SIZE",
    port_pages=PageCounts("MPS_RX_MAC_BG_PG_CNT0", 4, "MAC_USED", "MAC_ALLOC"),
    loopback_pages=PageCounts("MPS_RX_LPBK_BG_PG_CNT0", 2, "LPBK_USED", "LPBK_ALLOC"),
)
