"""The CIM's page tables: where the processor's pages lie in adapter memory.

What the words mean no source says: an entry is taken for a page's base in adapter memory with a
bit that says that it is in use (assumed).
"""

from __future__ import annotations

from vmcoredd.chip.cim import PBT_TABLES
from vmcoredd.emu.silicon.model import Model

PAGE_BYTES = 4096
IN_USE = 1


class PageTables(Model):
    """Four tables in the CIM's own address space; the last has an entry for each page."""

    def wire(self) -> None:
        region, space = self.scenario.memory_map["uP RAM"], self.words.space("cim")
        random = self.scenario.random("pbt")
        pages = range(region.base, region.base + region.size, PAGE_BYTES)
        for table in PBT_TABLES[:-1]:
            chosen = [random.choice(pages) | IN_USE for _ in range(table.words)]
            space.fill(space.index(table.address), chosen)
        table = PBT_TABLES[-1]
        mapped = [page | IN_USE for page in pages[: table.words]]
        space.fill(space.index(table.address), mapped)
