"""The packet engine's places on the card: the tables that it reads, and those that it writes."""

from __future__ import annotations

from typing import Any

from vmcoredd.chip import tcb
from vmcoredd.chip.le import VNIC_ID_MODE
from vmcoredd.chip.pci import PF, Bar
from vmcoredd.chip.sge import CONTEXT_BYTES
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.config_space import PBA_OFFSET
from vmcoredd.emu.contexts import IN_MEMORY, QUEUES
from vmcoredd.emu.silicon.le import TIDS
from vmcoredd.emu.silicon.model import Model

TUNNELS = ("MPS_RX_VXLAN_TYPE", "MPS_RX_GENEVE_TYPE")
"""The UDP ports behind which it looks for frames in tunnels, on a T6."""


class PacketEngine(Model):
    """Connects the engine with the SGE's contexts, TP's RSS table and LE's filters; its state in
    snapshots."""

    def wire(self) -> None:
        c = self.core.engine.c
        c.chip.core_clock_khz = self.scenario.profile.card.core_clock
        c.contexts, c.context_rows = self.spaces.space("sge_contexts").c.words, QUEUES
        c.rss = self.spaces.space("tp_rss_lkp_table").c
        tp, key = self.spaces.where(self.r.TP_RSS_SECRET_KEY0)
        c.rss_key = tp.pointer(key)
        (c.egress_memory, c.egress_memory_rows), (c.ingress_memory, c.ingress_memory_rows) = (
            self._memory(region, CONTEXT_BYTES) for region in IN_MEMORY.values()
        )
        self._filters(c)
        for name in TUNNELS:
            if name in self.r:
                self.spaces.plain(self.r[name])
        c.doorbells, c.pf = self.spaces.space(f"bar{Bar.DOORBELLS}").c.words, PF
        words = self.spaces.space(f"bar{Bar.MSIX}").c.words
        c.msix_table, c.msix_pending_bits = words, words + PBA_OFFSET // 4

    def reset(self) -> None:
        """Forgets the MSI-X table and what is pending; firmware frees the queues."""
        words = self.spaces.space(f"bar{Bar.MSIX}").words
        words.cast("B")[:] = bytes(words.nbytes)
        self.core.engine.forget_interrupts()

    def _filters(self, c: Any) -> None:
        entries, regions = self.spaces.space("le_entries"), self.scenario.tid_table.regions
        c.le_entries, c.le_rows = entries.c.words, TIDS
        c.control_blocks, c.control_block_rows = self._memory("TCBs", tcb.BYTES)
        c.priority_filters, c.first_filter = regions.active, regions.filters
        mode = self.scenario.filter_mode
        self.core.engine.set_filter_mode(mode, interfaces=bool(mode & VNIC_ID_MODE))

    def _memory(self, name: str, row_bytes: int) -> tuple[Any, int]:
        """Returns a pointer to a region of rows in adapter memory, and their number."""
        region = self.scenario.memory_map[name]
        for memory in self.memories:
            if memory.base <= region.base < memory.end:
                start = ffi.cast("uint8_t *", ffi.from_buffer(memory.memfd.map))
                size = min(region.size, memory.end - region.base)
                return start + (region.base - memory.base), size // row_bytes
        return ffi.NULL, 0

    def save(self) -> Any:
        return self.core.engine.save()

    def load(self, saved: Any) -> None:
        self.core.engine.load(saved)
