"""What FW_RESET makes of the card: it is as after power-on, for a driver to initialise.

Adapter memory keeps its content but for contexts, and the MAC table its entries of others.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Register
from vmcoredd.chip.pci import PFS
from vmcoredd.emu.contexts import IN_MEMORY
from vmcoredd.emu.firmware import links
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.freeing import release
from vmcoredd.emu.firmware.scheduler import forget_rates

DRIVERS = (
    "SGE_CONTROL",
    "SGE_CONTROL2",
    "SGE_HOST_PAGE_SIZE",
    "SGE_FL_BUFFER_SIZE0",
    "SGE_FL_BUFFER_SIZE1",
    "SGE_FL_BUFFER_SIZE2",
    "SGE_FL_BUFFER_SIZE3",
    "SGE_INT_ENABLE3",
    "SGE_STAT_CFG",
    "ULP_RX_TDDP_PSZ",
    "MPS_T5_TRC_RSS_CONTROL",
    "PL_INT_MAP0",
    "PL_PF_INT_ENABLE",
)
"""Registers that a driver sets for its host (t4_hw.c, t4_fixup_host_params() and others)."""
COUNTED = ("MPS_PORT_STAT_", "MPS_STAT_RX_BG_")


def restart(fw: Firmware) -> None:
    """Frees everything, forgets what drivers have set, and clears statistics."""
    for function in range(PFS):
        release(fw, function)
    forget_rates(fw)
    fw.state.host_pages, fw.state.settings = (), {}
    fw.state.initialised = fw.state.caps_agreed = False
    for register in (*(fw.r[name] for name in DRIVERS), *_counters(fw)):
        for element in range(register.count):
            fw.spaces.set(register, 0 if element else register.reset, element)
    for name in ("sge_contexts", "tp_rss_lkp_table", "tp_mib"):
        words = fw.spaces.space(name).words
        words[:] = memoryview(bytes(words.nbytes)).cast("I")
    for name in IN_MEMORY.values():
        region = fw.scenario.memory_map[name]
        fw.memories.write(region.base, bytes(region.size))
    for number, link in enumerate(fw.state.links):
        link.wanted = 0
        links.update(fw, number)


def _counters(fw: Firmware) -> Iterator[Register]:
    return (register for register in fw.r if register.name.startswith(COUNTED))
