"""Debug words behind index ports: PCIe, memory arbiter, host memory agent.

They show what the silicon is doing at one moment; nothing the driver does depends on them.
"""

from __future__ import annotations

from vmcoredd.emu.silicon.model import Model

GROUPS = ("pcie_pdbg", "pcie_cdbg", "ma", "hma")
"""Of `chip.indirect()`: each group is one port and one space."""


class DebugWords(Model):
    """A space for each port, filled as wide as each word's fields are."""

    def make(self) -> None:
        self.groups = [ranges for group in GROUPS if (ranges := self.chip.indirect(group))]
        for ranges in self.groups:
            last = max(item.indices[-1] for item in ranges)
            self.words.table(ranges[0].space, rows=1 << last.bit_length())

    def wire(self) -> None:
        for ranges in self.groups:
            port, data = self.r[ranges[0].address_register], self.r[ranges[0].data_register]
            space = self.words.space(ranges[0].space)
            random = self.scenario.random(space.name)
            for index in (index for item in ranges for index in item.indices):
                place = self.r.at(index, space.name)
                width = sum(field.width for field in place.register.fields) if place else 0
                space.words[index] = random.getrandbits(width or 32)
            self.ports.index(port, data, space, mask=space.count - 1)
