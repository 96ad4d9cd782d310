"""What FW_RESET makes of the card: it is as after power-on, for a driver to initialise.

Nothing is left of what drivers had or set: queues, interfaces, addresses, connections, filters,
rates, hashing, links, statistics. What tells of the past stays: the log, debug words, logic
analysers, error causes, and the content of adapter memory but for contexts.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Register
from vmcoredd.chip.pci import PFS
from vmcoredd.emu.contexts import IN_MEMORY
from vmcoredd.emu.firmware import doorbell_timers, links, scheduler
from vmcoredd.emu.firmware.filter_mode import set_filter_mode
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.freeing import release
from vmcoredd.emu.firmware.rss import BOOT_HASHING
from vmcoredd.emu.scenario.addresses import MacTable

DRIVERS = (
    "SGE_CONTROL",
    "SGE_CONTROL2",
    "SGE_HOST_PAGE_SIZE",
    *(f"SGE_FL_BUFFER_SIZE{number}" for number in range(16)),
    "SGE_INGRESS_RX_THRESHOLD",
    "SGE_TIMER_VALUE_0_AND_1",
    "SGE_TIMER_VALUE_2_AND_3",
    "SGE_TIMER_VALUE_4_AND_5",
    "SGE_CONM_CTRL",
    "SGE_INT_ENABLE3",
    "SGE_STAT_CFG",
    "TP_MOD_CONFIG",
    "ULP_RX_TDDP_PSZ",
    "MPS_T5_TRC_RSS_CONTROL",
    "MPS_RX_VXLAN_TYPE",
    "MPS_RX_GENEVE_TYPE",
    "PL_INT_MAP0",
    "PL_PF_INT_ENABLE",
)
"""Registers that a driver sets for its host (t4_hw.c, t4_fixup_host_params() and others; FreeBSD's
t4_sge.c, t4_tweak_chip_settings())."""
COUNTED = ("MPS_PORT_STAT_", "MPS_STAT_RX_BG_", "MPS_PF_STAT_", "MPS_VF_STAT_", "LE_DB_ACT_CNT_")
TABLES = (
    "sge_contexts",
    "tp_rss_lkp_table",
    "tp_mib",
    "tp_tm_pio",
    "tp_pace_table",
    "le_entries",
    *(f"pm_{side}_stat_{what}" for side in ("rx", "tx") for what in ("count", "total")),
)
"""Spaces that are all 0 after power-on."""


def restart(fw: Firmware) -> None:
    """Frees everything, forgets what drivers have set, and clears tables and statistics."""
    for function in range(PFS):
        release(fw, function)
    fw.state.initialised = fw.state.caps_agreed = False
    fw.state.clock = 0
    for register in (*_present(fw, DRIVERS), *_counters(fw)):
        for element in range(register.count):
            fw.spaces.set(register, 0 if element else register.reset, element)
    scheduler.remove_limits(fw)
    _clear_tables(fw)
    _restore_addresses(fw)
    _restore_hashing(fw)
    mode = fw.scenario.boot_filter_mode
    set_filter_mode(fw, mode, mode)
    fw.engine.forget_neighbours()
    if doorbell_timers.present(fw):
        doorbell_timers.set_tick(fw, doorbell_timers.BOOT_TICK_US)
    for number, link in enumerate(fw.state.links):
        link.wanted = 0
        links.update(fw, number)


def _present(fw: Firmware, names: tuple[str, ...]) -> Iterator[Register]:
    return (fw.r[name] for name in names if name in fw.r)


def _counters(fw: Firmware) -> Iterator[Register]:
    return (register for register in fw.r if register.name.startswith(COUNTED))


def _clear_tables(fw: Firmware) -> None:
    for name in TABLES:
        words = fw.spaces.space(name).words
        words[:] = memoryview(bytes(words.nbytes)).cast("I")
    for name in IN_MEMORY.values():
        region = fw.scenario.memory_map[name]
        fw.memories.write(region.base, bytes(region.size))


def _restore_addresses(fw: Firmware) -> None:
    """Leaves firmware's own entries in the MAC table."""
    for index in range(fw.chip.mps.tcam_entries):
        fw.classifier.clear(index)
    for mac in MacTable.unused(fw.profile).entries:
        fw.classifier.store(mac)


def _restore_hashing(fw: Firmware) -> None:
    fw.spaces.fields(fw.r.TP_RSS_CONFIG, **BOOT_HASHING)
    for number, word in enumerate(fw.scenario.rss_key):
        fw.spaces.set(fw.r[f"TP_RSS_SECRET_KEY{number}"], word)
    for function in range(PFS):
        fw.spaces.set(fw.r[f"TP_RSS_PF{function}_CONFIG"], 0)
