"""Models that belong to no single block: stored registers, debug words, and delayed commands."""

from __future__ import annotations

from vmcoredd.chip.pci import PF
from vmcoredd.emu.silicon.model import Model, fault

STORED = (
    "SGE_STAT_CFG",
    "SGE_INT_ENABLE3",
    "SGE_CONTROL2",
    "ULP_RX_TDDP_PSZ",
    "DBG_GPIO_EN",
    "MPS_T5_TRC_RSS_CONTROL",
    "MAC_PORT_CFG",
)
"""Bring-up and shutdown write these to enable interrupts and set modes (cxgb4_main.c, sge.c,
t4_hw.c)."""
STATISTICS_SOURCE = 7
"""SGE_STAT_CFG.StatSource: writes to BAR2 (cxgb4_main.c, init_one())."""
DEBUG_GROUPS = ("pcie_pdbg", "pcie_cdbg", "ma", "hma")
"""Names for `chip.indirect()`; each group has one address/data pair and one space."""


class StoredRegisters(Model):
    """Registers that drivers write, with no effect that the host can see."""

    def wire(self) -> None:
        for name in STORED:
            self.spaces.plain(self.r[name])


class DriversRegisters(Model):
    """What the driver of the crashed machine left in registers that nobody else writes
    (cxgb4_main.c, t4_hw.c)."""

    def wire(self) -> None:
        if not self.scenario.crashed:
            return
        r, first = self.r, self.scenario.queues.received(0)[0]
        self.spaces.set(r.SGE_INT_ENABLE3, self.chip.sge.driver_interrupts)
        self.spaces.put(r.SGE_STAT_CFG, StatSource=STATISTICS_SOURCE)
        self.spaces.set(r.MPS_T5_TRC_RSS_CONTROL, first.id)
        self.spaces.set(r.PL_INT_MAP0, 1 << PF)
        self.spaces.put(r.PL_PF_INT_ENABLE, element=PF, SW=1)


class DebugWords(Model):
    """Debug words of PCIE, MA and HMA behind an index: a random value in each described field.

    They show what the silicon is doing at one moment; the driver depends on none of them.
    """

    def make(self) -> None:
        self.groups = [ranges for group in DEBUG_GROUPS if (ranges := self.chip.indirect(group))]
        for ranges in self.groups:
            last = max(item.indices[-1] for item in ranges)
            self.spaces.table(ranges[0].space, rows=1 << last.bit_length())

    def wire(self) -> None:
        for ranges in self.groups:
            address, data = self.r[ranges[0].address_register], self.r[ranges[0].data_register]
            space = self.spaces.space(ranges[0].space)
            random = self.scenario.activity(space.name)
            for index in (index for item in ranges for index in item.indices):
                found = self.r.at(index, space.name)
                width = sum(field.width for field in found.register.fields) if found else 0
                waits = self.waiting_bits(found.register) if found else 0
                space.words[index] = random.getrandbits(width or 32) & ~waits
            self.lookups.index(address, data, space, mask=space.count - 1)


class Delays(Model):
    """All registers that show whether a command is done."""

    @fault("busy-once", "Each command is busy for one poll: more accesses, the same dump.")
    def delay(self) -> None:
        self.lookups.delay(1)
