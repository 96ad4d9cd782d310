"""Registers that differ between two healthy cards of one type: counters, addresses, captures, and
what belongs to one card.

Names are the source: the register database (`reg_defs`) names what a block counts `_CNT`, where a
queue stands `_RDADDR` or `_WRPTR`, and what its logic analyser or debug port holds `_LA_`, `_DBG_`
and `_DEBUG_`. `access` tells of the others that they show what was last asked for.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache

from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.register import Register
from vmcoredd.chip.volatile import is_volatile


class Kind(StrEnum):
    """Why a register differs between cards."""

    COUNTER = "a counter or a clock"
    ADDRESS = "an address, or a position in a queue"
    CAPTURE = "a capture: what a block last saw, or was last asked for"
    IDENTITY = "a card's own address or key"


PATTERNS = {
    Kind.COUNTER: (
        *("*_CNT", "*_CNT[0-9]*", "*_CNT_[HL][IO]", "*_CNT_IPV[46]*", "*_SE_CNT_*", "*_PKTCNT"),
        *("TP_MIB_*", "MPS_PORT_TX_PAUSE_SOURCE_[HL]", "*_ERROR_COUNT*", "MC_*_ECC_STATUS"),
    ),  # reg_defs
    Kind.ADDRESS: (
        *("*_RDADDR", "*_WRADDR", "*_REALADDR", "*_WRPTR*", "*_RDPTR*", "UP_[IO]BQ_*_STATUS"),
        *("PCIE_MSI_ADDR*", "SGE_IMSG_*", "SGE_DBVFIFO_BADDR"),
    ),  # reg_defs
    Kind.CAPTURE: (
        *("*_DEBUG_*", "*DEBUGDATA*", "*_DEBUGSTS", "*_[CP]DEBUG_*", "*_DBG_*", "*_LA_*"),
        *("*_CLIENT_INTERFACE_*", "*_ARBITER_INTERFACE_*", "*_HDR_LOG[0-9]", "*_ERR_LOG[0-9]"),
        *("*_ERR_ADDR", "*_ERR_DATA*", "MC_[CU]E_ADDR", "*_ERR_FIRST_ADDR", "*MAILBOX_DATA"),
    ),  # reg_defs; mailboxes hold the last command: t4_hw.c, t4_wr_mbox_meat_timeout()
    Kind.IDENTITY: ("TP_RSS_SECRET_KEY*", "*_MAC_ADDR*", "*_MAGIC_MACID_*"),  # reg_defs
}
"""Names of such registers."""
_ASKED = ("wo", "rs", "index", "data", "request", "window")
"""The accesses of registers that show what was last asked for: see `chip.register`."""


def kind_of(register: Register) -> Kind | None:
    """Returns why a register differs between healthy cards; None for one that tells something."""
    if is_volatile(register):
        return Kind.COUNTER
    for kind, patterns in PATTERNS.items():
        if any(fnmatchcase(register.name, pattern) for pattern in patterns):
            return kind
    return Kind.CAPTURE if register.access in _ASKED else None


@cache
def momentary() -> dict[str, Kind]:
    """Returns the kind of every such register of any chip, by its name."""
    found = {register.name: kind_of(register) for chip in CHIPS for register in chip.r}
    return {name: kind for name, kind in found.items() if kind}
