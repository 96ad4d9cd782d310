"""The registers that say where the regions of adapter memory lie, in whichever block they stand.

MEMINFO reads them all; `emu.state.memory_map` is where the regions come from.
"""

from __future__ import annotations

from emu.silicon.model import Model, fault
from emu.state.memory_map import Region

BASES = {
    "dbq_contexts": "SGE_DBQ_CTXT_BADDR",
    "imsg_contexts": "SGE_IMSG_CTXT_BADDR",
    "flm_cache": "SGE_FLM_CACHE_BADDR",
    "tcbs": "TP_CMM_TCB_BASE",
    "pstructs": "TP_CMM_MM_BASE",
    "timers": "TP_CMM_TIMER_BASE",
    "rx_free_list": "TP_CMM_MM_RX_FLST_BASE",
    "tx_free_list": "TP_CMM_MM_TX_FLST_BASE",
    "pstruct_free_list": "TP_CMM_MM_PS_FLST_BASE",
    "tx_payload": "TP_PMM_TX_BASE",
    "rx_payload": "TP_PMM_RX_BASE",
    "ulprx_state": "ULP_RX_CTX_BASE",
    "ulptx_state": "ULP_TX_ERR_TABLE_BASE",
    "dbvfifo": "SGE_DBVFIFO_BADDR",
    "le_hash": "LE_DB_HASH_TID_BASE",
}
LIMITS = {
    "iscsi": "ULP_RX_ISCSI",
    "tddp": "ULP_RX_TDDP",
    "tpt": "ULP_TX_TPT",
    "stag": "ULP_RX_STAG",
    "rq": "ULP_RX_RQ",
    "rqudp": "ULP_RX_RQUDP",
    "pbl": "ULP_RX_PBL",
    "txpbl": "ULP_TX_PBL",
}
"""Register pairs <name>_LLIMIT and <name>_ULIMIT: first and last address."""
FIRMWARE = {
    "up_ram": ("CIM_SDRAM_BASE_ADDR", "CIM_SDRAM_ADDR_SIZE"),
    "up_extmem2": ("CIM_EXTMEM2_BASE_ADDR", "CIM_EXTMEM2_ADDR_SIZE"),
}
TX_PAGE, RX_PAGE = 16 * 1024, 64 * 1024
PSTRUCT_BYTES = 64
DBVFIFO_UNIT = 4


class MemoryRegions(Model):
    """Bases, limits, and how much of what is free."""

    def wire(self) -> None:
        regions = self.state.memory_map
        for name, register in BASES.items():
            self.words.plain(self.r[register], regions[name].base)
        for name, prefix in LIMITS.items():
            self.words.plain(self.r[f"{prefix}_LLIMIT"], regions[name].base)
            self.words.plain(self.r[f"{prefix}_ULIMIT"], regions[name].last)
        for name, (base, size) in FIRMWARE.items():
            self.words.plain(self.r[base], regions[name].base)
            self.words.plain(self.r[size], regions[name].size)
        self._pages(regions["tx_payload"], "TX", TX_PAGE)
        self._pages(regions["rx_payload"], "RX", RX_PAGE)
        self._pstructs(regions["pstructs"])
        self._doorbell_fifo(regions["dbvfifo"])

    def _pages(self, region: Region, side: str, page: int) -> None:
        """The payload of one direction: pages, channels, and how many pages are free."""
        r, count = self.r, region.size // page
        used = self.state.random(f"{side} pages").randrange(count // 2)
        channels = {"TX": 1, "RX": 0}[side]
        self.words.plain(r[f"TP_PMM_{side}_PAGE_SIZE"], page)
        maximum = r[f"TP_PMM_{side}_MAX_PAGE"]
        pages = {f"PM{side}MaxPage": count, f"PM{side}NumChn": channels}
        self.words.plain(maximum, maximum.of(**pages))
        free = r[f"TP_FLM_FREE_{side}_CNT"]
        self.words.read_only(free, free.of(**{f"Free{side}PageCount": count - used}))

    def _pstructs(self, region: Region) -> None:
        count = region.size // PSTRUCT_BYTES
        used = self.state.random("pstructs").randrange(count // 8)
        self.words.plain(self.r.TP_CMM_MM_MAX_PSTRUCT, count)
        self.words.read_only(self.r.TP_FLM_FREE_PS_CNT, count - used)

    def _doorbell_fifo(self, region: Region) -> None:
        """The size stands in the register's one field, in words of 32 bits."""
        register = self.r.SGE_DBVFIFO_SIZE
        (size,) = register.fields
        entries = min(region.size // DBVFIFO_UNIT, (1 << size.width) - 1)
        self.words.plain(register, size.put(entries))

    @fault("no-context-bases", "The SGE's context bases are 0: DUMP_CONTEXT is too big (-19).")
    def lose_contexts(self) -> None:
        self.words.set(self.r.SGE_DBQ_CTXT_BADDR, 0)
        self.words.set(self.r.SGE_IMSG_CTXT_BADDR, 0)

    @fault("no-payload-regions", "The payload regions are empty: the driver skips most memory.")
    def lose_payload(self) -> None:
        for side in ("TX", "RX"):
            for name in ("BASE", "PAGE_SIZE", "MAX_PAGE"):
                self.words.set(self.r[f"TP_PMM_{side}_{name}"], 0)
