"""Back-pressure: what happens on the way of data when its end takes no more."""

from __future__ import annotations

from vmcoredd.emu.silicon.model import Model, fault

CHANNEL = 0
BLOCKED = {
    "receive": "The host takes no data: everything from PCIE back to MPS is full",
    "send": "TP takes no data: everything back to PCIE is full",
}


class BackPressure(Model):
    """The debug words of PCIE, SGE and TP that have a bit for each channel that waits."""

    @fault("{}-blocked", "{}; the debug words of channel 0.", each=BLOCKED, reports=True)
    def block(self, way: str) -> None:
        for hop in getattr(self.chip.back_pressure, way):
            register = self.r[hop.register]
            word = self.spaces.get(register) | hop.bit(register, CHANNEL)
            self.spaces.set(register, word)
            if hop.register.startswith("SGE_DEBUG_DATA_HIGH"):  # also behind SGE_DEBUG_INDEX
                index = int(hop.register.rpartition("_")[2])
                self.spaces.space("sge_debug_high").words[index] = word
