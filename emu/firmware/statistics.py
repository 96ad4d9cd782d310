"""Commands that read MPS's counters."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.firmware import FwCommand, Retval, ViStats
from vmcoredd.chip.firmware.port import (
    FUNCTION_STATS,
    LOOPBACK_STATS,
    RECEIVED_STATS,
    SENT_STATS,
    STATS_PER_COMMAND,
    PortLbStats,
    PortStats,
)
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.interfaces import interface


@answers(PortStats)
def port_statistics(fw: Firmware, pf: int, cmd: PortStats) -> FwCommand:
    """Returns counters of frames that a port has sent or received."""
    _check_port(fw, cmd.portid)
    direction, count = ("TX", SENT_STATS) if cmd.tx else ("RX", RECEIVED_STATS)
    first = fw.r[f"MPS_PORT_STAT_{direction}_PORT_BYTES_L"]
    return cmd.reply(stat=_counters(fw, first, cmd.portid, count, cmd))


@answers(PortLbStats)
def loopback_statistics(fw: Firmware, pf: int, cmd: PortLbStats) -> FwCommand:
    """Returns counters of frames that a port has sent to itself."""
    _check_port(fw, cmd.lbport)
    first = fw.r.MPS_PORT_STAT_LB_PORT_BYTES_L
    return cmd.reply(stat=_counters(fw, first, cmd.lbport, LOOPBACK_STATS, cmd))


@answers(ViStats)
def interface_statistics(fw: Firmware, pf: int, cmd: ViStats) -> FwCommand:
    """Returns counters of the interface's function: MPS has none for each interface."""
    owner = interface(fw, pf, cmd.viid).pf
    first = fw.r.MPS_PF_STAT_TX_PF_BCAST_BYTES_L
    return cmd.reply(stat=_counters(fw, first, owner, FUNCTION_STATS, cmd))


def _check_port(fw: Firmware, port: int) -> None:
    if port >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"no port {port}")


def _counters(
    fw: Firmware, first: Register, element: int, count: int, cmd: FwCommand
) -> tuple[int, ...]:
    """Returns the counters that a command asks for, of the `count` from register `first` on."""
    if cmd.nstats > STATS_PER_COMMAND or cmd.ix + cmd.nstats > count:
        raise Refused(Retval.EINVAL, f"{cmd.nstats} counters from {cmd.ix} on, of {count}")
    space, index = fw.spaces.where(first, element)
    words = list(space.words[index + 2 * cmd.ix : index + 2 * (cmd.ix + cmd.nstats)])
    values = [low | high << 32 for low, high in zip(words[::2], words[1::2], strict=True)]
    return (*values, *[0] * (STATS_PER_COMMAND - cmd.nstats))
