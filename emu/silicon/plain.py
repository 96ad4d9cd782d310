"""Registers that drivers write, whose effect on the hardware nobody can see from here.

Bring-up and tear-down switch interrupts and set modes (cxgb4_main.c, sge.c, t4_hw.c); they read
back as written.
"""

from __future__ import annotations

from vmcoredd.emu.silicon.model import Model

WRITTEN = (
    "SGE_STAT_CFG",
    "SGE_INT_ENABLE3",
    "SGE_CONTROL2",
    "ULP_RX_TDDP_PSZ",
    "DBG_GPIO_EN",
    "MPS_T5_TRC_RSS_CONTROL",
    "MAC_PORT_CFG",
)


class Plain(Model):
    """They hold what is written."""

    def wire(self) -> None:
        for name in WRITTEN:
            self.words.plain(self.r[name])
