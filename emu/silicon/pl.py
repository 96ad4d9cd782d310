"""PL: who the function is, and the card's interrupts."""

from __future__ import annotations

from chip.pci import PF
from emu.silicon.model import Model, fault


class Pl(Model):
    """The registers of the port to the host that name the function and the chip's revision."""

    def wire(self) -> None:
        r = self.r
        self.words.read_only(r.PL_WHOAMI, r.PL_WHOAMI.of(SourcePF=PF))
        self.words.read_only(r.PL_REV, r.PL_REV.of(Rev=self.state.profile.card.revision))
        self.words.write_to_clear(r.PL_INT_CAUSE, 0)
        self.words.plain(r.PL_INT_ENABLE, 0)
        self.words.plain(r.PL_INT_MAP0, 0)

    @fault("whoami-other-function", "PL_WHOAMI names PF 0: the driver leaves the card alone.")
    def be_another_function(self) -> None:
        self.words.fields(self.r.PL_WHOAMI, SourcePF=0)

    @fault("device-gone", "PL_WHOAMI reads as all ones, as from an empty slot: the probe fails.")
    def be_gone(self) -> None:
        self.words.set(self.r.PL_WHOAMI, 0xFFFFFFFF)
