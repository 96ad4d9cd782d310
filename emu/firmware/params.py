"""Parameters: their values, and which of them a driver may write.

A command that names an unknown parameter is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmcoredd.chip.firmware import Dev, Dmaq, FwCommand, MemType, Params, Pf, Retval
from vmcoredd.chip.firmware.params import DiagSub, FilterSub, param_name, param_of
from vmcoredd.emu.engine import FLOWS, NEIGHBOURS, SOURCE_MACS
from vmcoredd.emu.firmware import doorbell_timers
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.device import CONFIG_UNIT
from vmcoredd.emu.firmware.firmware import TRAFFIC_CLASSES, Firmware
from vmcoredd.emu.firmware.queues import set_parameter
from vmcoredd.emu.flash import version

Value = Callable[[Firmware, int, int], int]
"""(firmware, Y, Z) -> the parameter's value; Refused if Y and Z select nothing."""

TEMPERATURE, MILLIVOLTS, TOO_HOT = 52, 1020, 105
"""Temperature and threshold in degrees Celsius; core voltage."""
CLIP_ENTRIES, RAW_MACS, FLOWC_CREDITS, FRAMES_PER_REQUEST = 4096, 2, 128, 15


def _config_buffer(fw: Firmware, y: int, z: int) -> int:
    """Returns the location for a configuration file: memory type, and address in 64 KiB units."""
    offset = fw.scenario.memory_map["uP RAM"].base - fw.memories["edc1"].base
    return MemType.EDC1 << 8 | (offset + CONFIG_UNIT) // CONFIG_UNIT


def _diagnosis(fw: Firmware, y: int, z: int) -> int:
    values = {DiagSub.TMP: TEMPERATURE, DiagSub.VDD: MILLIVOLTS, DiagSub.MAXTMPTHRESH: TOO_HOT}
    return _choice(values, y)


def _filter(fw: Firmware, y: int, z: int) -> int:
    """Returns the fields that filters can match: mode in the upper half, in the lower the mask of
    those that hash filters have to."""
    mode = fw.spaces.get(fw.r.TP_VLAN_PRI_MAP)
    mask = mode if fw.state.filter_mask is None else fw.state.filter_mask
    return _choice({FilterSub.VNIC_MODE: 0, FilterSub.MODE_MASK: mode << 16 | mask}, y)


def _choice(values: Mapping[Any, int], y: int) -> int:
    if y not in values:
        raise Refused(Retval.EINVAL, f"Y {y:#x}")
    return values[y]


def _hma_size(fw: Firmware, y: int, z: int) -> int:
    size = fw.profile.memory.hma
    if not size:
        raise Refused(Retval.EINVAL, "the card uses no host memory")
    return size


def _high_priority(first: bool) -> Value:
    """Returns the first or last TID of high-priority filters, before connections; T5 has none."""

    def value(fw: Firmware, y: int, z: int) -> int:
        count = fw.scenario.tid_table.regions.active
        if not count:
            raise Refused(Retval.EINVAL, "no high-priority filters")
        return 0 if first else count - 1

    return value


def _tids(fw: Firmware, y: int, z: int) -> int:
    """Returns the number of TIDs for connections."""
    regions = fw.scenario.tid_table.regions
    return regions.servers - regions.active + regions.hash_tids


def _buffer_groups(fw: Firmware, y: int, z: int) -> int:
    """Returns each port's map of MPS buffer groups, a byte each, port 0 lowest."""
    return int.from_bytes(fw.chip.mps.buffer_groups[fw.profile.ports.count], "little")


def _region(name: str, *, last: bool = False) -> Value:
    """Returns the first or last address of a region of adapter memory."""

    def value(fw: Firmware, y: int, z: int) -> int:
        region = fw.scenario.memory_map[name]
        return region.last if last else region.base

    return value


def _share(name: str, *, last: bool = False) -> Value:
    """Returns the first or last id of the queues that the Linux driver's function may use."""

    def value(fw: Firmware, y: int, z: int) -> int:
        share = fw.scenario.queues.unified
        first: int = getattr(share, name)
        count: int = getattr(share, f"{name}_count")
        return first + count - 1 if last else first

    return value


def _fixed(number: int) -> Value:
    return lambda fw, y, z: number


DEVICE: dict[Dev, Value] = {
    Dev.CCLK: lambda fw, y, z: fw.profile.card.core_clock,
    Dev.PORTVEC: lambda fw, y, z: (1 << fw.profile.ports.count) - 1,
    Dev.NTID: _tids,
    Dev.FLOWC_BUFFIFO_SZ: _fixed(FLOWC_CREDITS),
    Dev.FWREV: lambda fw, y, z: version(fw.profile.firmware.version),
    Dev.TPREV: lambda fw, y, z: version(fw.profile.firmware.tp),
    Dev.CF: _config_buffer,
    Dev.DIAG: _diagnosis,
    Dev.ULPTX_MEMWRITE_DSGL: _fixed(1),
    Dev.SCFGREV: lambda fw, y, z: fw.profile.vpd.config_version,
    Dev.VPDREV: lambda fw, y, z: fw.profile.vpd.version,
    Dev.RI_FR_NSMR_TPTE_WR: _fixed(1),
    Dev.FILTER2_WR: _fixed(1),
    Dev.MPSBGMAP: _buffer_groups,
    Dev.TPCHMAP: _fixed(0),  # one receive channel of TP serves all ports (TP_PMM_RX_MAX_PAGE)
    Dev.HMA_SIZE: _hma_size,
    Dev.PPOD_EDRAM: _fixed(0),
    Dev.OPAQUE_VIID_SMT_EXTN: _fixed(1),
    Dev.DBQ_TIMER: lambda fw, y, z: doorbell_timers.timer(fw, y),
    Dev.DBQ_TIMERTICK: lambda fw, y, z: doorbell_timers.tick(fw),
    Dev.NUM_TM_CLASS: lambda fw, y, z: TRAFFIC_CLASSES,
    Dev.FILTER: _filter,
}
FUNCTION: dict[Pf, Value] = {
    Pf.CLIP_START: _fixed(0),
    Pf.CLIP_END: _fixed(CLIP_ENTRIES - 1),
    Pf.FILTER_START: lambda fw, y, z: fw.scenario.tid_table.regions.filters,
    Pf.FILTER_END: lambda fw, y, z: fw.scenario.tid_table.regions.last_filter,
    Pf.SERVER_START: lambda fw, y, z: fw.scenario.tid_table.regions.servers,
    Pf.SERVER_END: lambda fw, y, z: fw.scenario.tid_table.regions.filters - 1,
    Pf.L2T_START: _fixed(0),
    Pf.L2T_END: _fixed(NEIGHBOURS - 1),
    Pf.IQFLINT_START: _share("ingress"),
    Pf.IQFLINT_END: _share("ingress", last=True),
    Pf.EQ_START: _share("egress"),
    Pf.EQ_END: _share("egress", last=True),
    Pf.ACTIVE_FILTER_START: _fixed(0),
    Pf.ACTIVE_FILTER_END: _fixed(0),
    Pf.ETHOFLD_START: _fixed(0),
    Pf.ETHOFLD_END: _fixed(FLOWS - 1),
    Pf.HPFILTER_START: _high_priority(first=True),
    Pf.HPFILTER_END: _high_priority(first=False),
    Pf.RAWF_START: lambda fw, y, z: fw.chip.mps.tcam_entries - RAW_MACS,
    Pf.RAWF_END: lambda fw, y, z: fw.chip.mps.tcam_entries - 1,
    Pf.MAX_PKTS_PER_ETH_TX_PKTS_WR: _fixed(FRAMES_PER_REQUEST),
    Pf.GET_SMT_START: _fixed(0),
    Pf.GET_SMT_SIZE: _fixed(SOURCE_MACS),
    Pf.TDDP_START: _region("TDDP region"),
    Pf.TDDP_END: _region("TDDP region", last=True),
    Pf.ISCSI_START: _region("iSCSI region"),
    Pf.ISCSI_END: _region("iSCSI region", last=True),
    Pf.STAG_START: _region("TPT region"),
    Pf.STAG_END: _region("TPT region", last=True),
    Pf.RQ_START: _region("RQ region"),
    Pf.RQ_END: _region("RQ region", last=True),
    Pf.PBL_START: _region("PBL region"),
    Pf.PBL_END: _region("PBL region", last=True),
}
WRITABLE: dict[type[Any], set[Any]] = {
    Dev: {
        Dev.FWCACHE,
        Dev.HPFILTER_REGION_SUPPORT,
        Dev.OPAQUE_VIID_SMT_EXTN,
        Dev.HASHFILTER_WITH_OFLD,
        Dev.HMA_SIZE,
        Dev.DBQ_TIMERTICK,
        Dev.VI_ENABLE_INGRESS_AFTER_LINKUP,
    },
    Pf: {Pf.CPLFW4MSG_ENCAP, Pf.PORT_CAPS32, Pf.SCHEDCLASS_ETH},
    Dmaq: set(Dmaq),
}
"""Parameters that drivers may set. Those of queues and DBQ_TIMERTICK have an effect."""


@answers(Params)
def params(fw: Firmware, pf: int, cmd: Params) -> FwCommand:
    """Reads or writes all parameters of the command, or refuses them all."""
    if cmd.write:
        _check_writable(fw, cmd)
        for one in cmd.asked:
            _write(fw, pf, one.mnem, one.val)
        return cmd.reply()
    reply = cmd.reply()
    for one in reply.asked:
        one.val = _value(fw, one.mnem)
    return reply


def _check_writable(fw: Firmware, cmd: Params) -> None:
    for one in cmd.asked:
        which, _, _ = param_of(one.mnem)
        if which not in WRITABLE.get(type(which), ()):
            raise _unknown(one.mnem)


def _write(fw: Firmware, pf: int, number: int, value: int) -> None:
    which, y, z = param_of(number)
    if isinstance(which, Dmaq):
        set_parameter(fw, pf, which, y << 8 | z, value)
    if which is Dev.DBQ_TIMERTICK:
        doorbell_timers.set_tick(fw, value)


def _value(fw: Firmware, number: int) -> int:
    which, y, z = param_of(number)
    known = DEVICE.get(which) if isinstance(which, Dev) else FUNCTION.get(which)  # type: ignore
    if known is None:
        raise _unknown(number)
    return known(fw, y, z)


def _unknown(number: int) -> Refused:
    return Refused(Retval.EINVAL, f"parameter {param_name(number)}")
