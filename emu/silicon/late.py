"""Silicon that takes its time: nothing breaks, but who does not wait reads what was before."""

from __future__ import annotations

from vmcoredd.emu.silicon.model import Model, fault


class Late(Model):
    """Every register that says whether a command has been carried out."""

    @fault("busy-once", "Each operation is busy at the first look: more accesses, the same dump.")
    def be_busy_once(self) -> None:
        self.ports.late(1)
