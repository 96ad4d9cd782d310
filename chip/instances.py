"""Which block a register belongs to, and which instance of it: the tables repeat names.

`EDC_H_INT_CAUSE` is a register of EDC0 and of EDC1, `MPS_PORT_CTL` one of each port. An instance is
named as in the kernel's messages: `EDC1`, `MC0`, `port 2`, `PF4`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vmcoredd.chip.register import BAR0, Register

_MEMORIES = {
    "edc_t50": "EDC0",
    "edc_t51": "EDC1",
    "edc_t60": "EDC0",
    "edc_t61": "EDC1",
    "mc_0": "MC0",
    "mc_1": "MC1",
}
"""The column `block` of a memory's registers."""


class _Copies(NamedTuple):
    """Registers that every port or function has, one copy after the other."""

    name: str
    first: int
    stride: int
    end: int


_COPIES = (
    _Copies("port ", 0x30000, 0x4000, 0x40000),  # t4_regs.h: T5_PORT_REG()
    _Copies("PF", 0x1E000, 0x400, 0x20000),  # t4_regs.h: PF_REG()
)
_BLOCKS = {
    "hma_t5": "HMA",
    "hma_t6": "HMA",
    "hma_local": "HMA",
    "ma_local": "MA",
    "tp_pio": "TP",
    "tp_tm_pio": "TP",
    "tp_mib": "TP",
    "pm_rx_dbg": "PM_RX",
    "pm_tx_dbg": "PM_TX",
    "pcie_pdbg": "PCIE",
    "pcie_cdbg": "PCIE",
    "pcie_config": "PCIE",
}
"""The column `block`, or the space, where its capitals are not the block's usual name."""
_BLOCK_IN_NAME = re.compile(r"(?:MYPF_|T5_)?([A-Z]+)")


def block_of(register: Register) -> str:
    """Returns the block in capitals, without its instance: `SGE`, `EDC`, `MPS`."""
    block = register.block
    if block in _MEMORIES:
        return _MEMORIES[block][:-1]
    if block == BAR0:  # a register of Linux's, which the chip's table does not have
        found = _BLOCK_IN_NAME.match(register.name)
        return found.group(1) if found else ""
    return _BLOCKS.get(block, block.upper())


def instance_of(register: Register, element: int) -> str:
    """Returns the instance to which an element of a register belongs; empty if there is only one.

    A memory's registers always have one: a T6 has no MC1, yet its MC_P_INT_CAUSE is that of MC0.
    """
    memory = _MEMORIES.get(register.block)
    if memory is not None:
        return memory
    if register.space == BAR0:
        offset = register + element * register.stride
        for name, first, stride, end in _COPIES:
            if first <= offset < end:
                return f"{name}{(offset - first) // stride}"
    return ""


def label_of(register: Register, element: int) -> str:
    """Returns the name with the element, unless the instance says which one it is."""
    if register.count == 1 or any(register.stride == copies.stride for copies in _COPIES):
        return register.name
    return f"{register.name}[{element}]"
