"""PM: the payload memory managers, for receive and transmit: counters, and indirect debug words."""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.emu.lookup import Index
from vmcoredd.emu.silicon.model import Model
from vmcoredd.emu.spaces import Space

SIDES = ("RX", "TX")
DEBUG_WORDS = 0x10040
"""Past the last PMDbgAddr, 0x1003d."""
COUNTERS = 8
"""Values of STAT_CONFIG: 0 clears, the others select a counter."""


class Side(NamedTuple):
    """The spaces of one manager."""

    debug: Space
    counts: Space
    totals: Space


class PayloadMemory(Model):
    """STAT_CONFIG selects a counter, DBG_CTRL a debug word; two debug words hold a total."""

    def make(self) -> None:
        self.sides = {side: self._make_side(f"pm_{side.lower()}") for side in SIDES}

    def _make_side(self, name: str) -> Side:
        return Side(
            self.spaces.registers(f"{name}_dbg", DEBUG_WORDS, stride=1),
            self.spaces.table(f"{name}_stat_count", rows=COUNTERS),
            self.spaces.table(f"{name}_stat_total", rows=COUNTERS, width=2),
        )

    def wire(self) -> None:
        for name, side in self.sides.items():
            self._fill(name, side)
            self._connect(name, side)

    def _connect(self, name: str, side: Side) -> None:
        r = self.r
        config, ctrl = r[f"PM_{name}_STAT_CONFIG"], r[f"PM_{name}_DBG_CTRL"]
        selected = Index(config, COUNTERS - 1)
        self.lookups.add(config, side.counts, selected, r[f"PM_{name}_STAT_COUNT"])
        msb = r[f"PM_{name}_DBG_STAT_MSB"]
        self.lookups.add(config, side.totals, selected, msb, width=2)
        address = ctrl.field("PMDbgAddr")
        self.lookups.index(ctrl, r[f"PM_{name}_DBG_DATA"], side.debug, mask=address.mask)

    def _fill(self, name: str, side: Side) -> None:
        """Sets consistent counters: each command moves some hundreds of bytes on average."""
        random = self.scenario.activity(f"pm_{name}")
        for row in range(1, COUNTERS):
            count = random.randrange(1 << 24)
            total = count * random.randrange(64, 1500)
            side.counts.fill(row, [count])
            side.totals.fill(2 * row, [total >> 32, total & U32_MASK])
        for register in self.r:
            if register.space == side.debug.name:
                width = sum(field.width for field in register.fields) or 32
                self.spaces.set(register, random.getrandbits(32) & (1 << width) - 1)
