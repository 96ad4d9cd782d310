"""PL: identity of the function, interrupts of the card, and a function's view of its registers."""

from __future__ import annotations

from vmcoredd.chip.pci import MYPF_BASE, PF, PF_BASE, PF_STRIDE
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import WordKind

INTERRUPTING = (
    *("CIM", "MPS", "PL", "PCIE", "MC0", "EDC0", "EDC1", "LE", "TP", "MA", "PM_TX", "PM_RX"),
    *("ULP_RX", "CPL_SWITCH", "SGE", "ULP_TX"),
)
"""The blocks whose interrupts the firmware enables (assumed: those that t4_slow_intr_handler()
handles; no driver writes PL_INT_ENABLE)."""


class Pl(Model):
    """Identity and interrupt registers."""

    def wire(self) -> None:
        r, spaces = self.r, self.spaces
        spaces.fields(r.PL_WHOAMI, SourcePF=PF)
        spaces.read_only(r.PL_REV, r.PL_REV.of(Rev=self.scenario.profile.card.revision))
        for register in (r.PL_PERR_ENABLE, r.PL_INT_MAP0, r.PL_PF_INT_ENABLE):
            spaces.plain(register)
        spaces.plain(r.PL_INT_ENABLE, r.PL_INT_ENABLE.mask(*INTERRUPTING))
        self._own_view()

    def _own_view(self) -> None:
        first = (PF_BASE + PF * PF_STRIDE) // 4
        for index in range(PF_STRIDE // 4):
            self.core.bar0.set_kind(MYPF_BASE // 4 + index, WordKind.ALIAS, first + index)

    @fault(
        "other-function",
        "PL_WHOAMI names PF 0: the driver leaves the card alone, so there is no dump.",
    )
    def be_another_function(self) -> None:
        self.spaces.fields(self.r.PL_WHOAMI, SourcePF=0)
