"""The registers that describe the memories and their regions.

MEMINFO reads them all. MA describes the memories; SGE, TP, CIM, ULP and LE hold the bounds of
their own regions. `emu.scenario.memory_map` defines the regions.
"""

from __future__ import annotations

from vmcoredd.chip.memory import MEGABYTE, REGIONS, MemoryRegion
from vmcoredd.emu.scenario.memory_map import PlacedRegion
from vmcoredd.emu.silicon.model import Model, fault

FIRMWARE = {
    "uP RAM": ("CIM_SDRAM_BASE_ADDR", "CIM_SDRAM_ADDR_SIZE"),
    "uP Extmem2": ("CIM_EXTMEM2_BASE_ADDR", "CIM_EXTMEM2_ADDR_SIZE"),
}
"""Registers with base and size of the processor's own memory."""
PAGE_BYTES = {"Tx payload": 16 * 1024, "Rx payload": 64 * 1024}
CHANNELS = {"Tx payload": ("PMTxNumChn", 1), "Rx payload": ("PMRxNumChn", 0)}
"""Field and value in the MAX_PAGE registers: two channels for transmit, one for receive."""
FREE_PAGES = {
    "Tx payload": ("TP_FLM_FREE_TX_CNT", "FreeTxPageCount", 4),
    "Rx payload": ("TP_FLM_FREE_RX_CNT", "FreeRxPageCount", 2),
}
"""Register and field, and how often the driver reads it for one count: it adds as many channels as
there can be (cudbg_fill_meminfo()). The count is the same for each of them (assumed)."""
WRAPPING_CLIENT, WRAPPED_BYTES = 7, 8192
"""The client of the fault `ma-wrap`, LE, and how far past the memories its address is."""
PSTRUCT_BYTES = 64
DOORBELL_BYTES = 4


class MemoryArbiter(Model):
    """MA: enable bits, bases and sizes of the memories."""

    def wire(self) -> None:
        register = self.r.MA_TARGET_MEM_ENABLE
        self.spaces.plain(register, register.mask(*(m.type.enable for m in self.memories)))
        for memory in self.memories:
            bar, kind = self.r[memory.type.bar], memory.type
            base, size = memory.base // MEGABYTE, memory.size // MEGABYTE
            self.spaces.plain(bar, bar.of(**{kind.base: base, kind.size: size}))

    def _disable(self, name: str) -> None:
        if name not in self.memories:
            raise self.refuse(name.upper())
        register = self.r.MA_TARGET_MEM_ENABLE
        self.spaces.put(register, **{self.memories[name].type.enable: 0})

    @fault(
        "ma-wrap",
        "The arbiter met an address beyond all memory: MA_INT_CAUSE, client and address.",
        reports=True,
    )
    def wrap(self) -> None:
        self.interrupt("MA", self.r.MA_INT_CAUSE, "MEM_WRAP_INT_CAUSE")
        beyond = max(memory.end for memory in self.memories) + WRAPPED_BYTES
        fields = {"MEM_WRAP_ADDRESS": beyond >> 4, "MEM_WRAP_CLIENT_NUM": WRAPPING_CLIENT}
        self.spaces.fields(self.r.MA_INT_WRAP_STATUS, **fields)

    @fault("no-memory", "No memory is enabled: MEMINFO, DUMP_CONTEXT and all memories fail.")
    def disable_all(self) -> None:
        self.spaces.set(self.r.MA_TARGET_MEM_ENABLE, 0)

    @fault("no-edc1", "EDC1 is not enabled: the entity fails with -24.")
    def disable_edc1(self) -> None:
        self._disable("edc1")

    @fault("no-mc0", "MC0 is not enabled: the entity fails with -24.")
    def disable_mc0(self) -> None:
        self._disable("mc0")


class MemoryRegions(Model):
    """Bases, limits, and free pages of the regions."""

    def wire(self) -> None:
        regions = self.scenario.memory_map
        for description in REGIONS:
            if description.base:
                self._describe(description, regions[description.name])
        for name, (base, size) in FIRMWARE.items():
            self.spaces.plain(self.r[base], regions[name].base)
            self.spaces.plain(self.r[size], regions[name].size)
        _, hash_address = self.chip.le.hash_region
        self.spaces.plain(self.r[hash_address], regions["LE hash"].base)
        self._pstructs(regions["Pstructs"])
        self._doorbell_fifo(regions["DBVFIFO region"])

    def _describe(self, description: MemoryRegion, region: PlacedRegion) -> None:
        self.spaces.plain(self.r[description.base], region.base)
        if description.limit:
            self.spaces.plain(self.r[description.limit], region.last)
        if description.page_size:
            self._pages(description, region)

    def _pages(self, description: MemoryRegion, region: PlacedRegion) -> None:
        """Sets one direction's payload: page size, pages, channels, and free pages."""
        page = PAGE_BYTES[region.name]
        count = region.size // page
        channels, value = CHANNELS[region.name]
        maximum = self.r[description.max_page]
        self.spaces.plain(self.r[description.page_size], page)
        fields = {description.max_page_field: count, channels: value}
        self.spaces.plain(maximum, maximum.of(**fields))
        register, field, reads = FREE_PAGES[region.name]
        used = self.scenario.activity(region.name).randrange(count // 2 or 1)
        self.spaces.fields(self.r[register], **{field: (count - used) // reads})

    def _pstructs(self, region: PlacedRegion) -> None:
        count = region.size // PSTRUCT_BYTES
        used = self.scenario.activity("pstructs").randrange(count // 8 or 1)
        self.spaces.plain(self.r.TP_CMM_MM_MAX_PSTRUCT, count)
        self.spaces.set(self.r.TP_FLM_FREE_PS_CNT, count - used)

    def _doorbell_fifo(self, region: PlacedRegion) -> None:
        register = self.r.SGE_DBVFIFO_SIZE
        size = register.field(self.chip.memory.vfifo_size)
        entries = min(region.size // DOORBELL_BYTES, (1 << size.width) - 1)
        self.spaces.plain(register, size.put(entries))

    @fault("no-context-bases", "The SGE's context bases are 0: DUMP_CONTEXT is too big (-19).")
    def lose_contexts(self) -> None:
        self.spaces.set(self.r.SGE_DBQ_CTXT_BADDR, 0)
        self.spaces.set(self.r.SGE_IMSG_CTXT_BADDR, 0)

    @fault("no-payload-regions", "The payload regions are empty: the driver skips most memory.")
    def lose_payload(self) -> None:
        for side in ("TX", "RX"):
            for name in ("BASE", "PAGE_SIZE", "MAX_PAGE"):
                self.spaces.set(self.r[f"TP_PMM_{side}_{name}"], 0)
