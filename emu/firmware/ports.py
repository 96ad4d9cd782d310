"""Commands about ports: their type, capabilities and links."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    FwCommand,
    PortCaps,
    PortCaps16,
    PortInfo,
    PortInfo32,
    PortL1Config,
    PortL1Config32,
    PortType,
    Retval,
)
from vmcoredd.emu.firmware import links
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Link

IGNORED = PortCaps.MDIAUTO | PortCaps.MDISTRAIGHT | PortCaps.ANEG
"""Capabilities that the driver may request on any port, without effect."""
SAME_NAME = tuple(name for name in PortCaps16.__members__ if name in PortCaps.__members__)


def _link(fw: Firmware, number: int) -> Link:
    if number >= len(fw.state.links):
        raise Refused(Retval.EINVAL, f"no port {number}")
    return fw.state.links[number]


@answers(PortInfo32)
def info32(fw: Firmware, pf: int, cmd: PortInfo32) -> FwCommand:
    """Returns everything about a port, in 32-bit capabilities."""
    _link(fw, cmd.portid)
    return links.describe(fw, cmd)


@answers(PortInfo)
def info(fw: Firmware, pf: int, cmd: PortInfo) -> FwCommand:
    """Returns the same in 16-bit capabilities, for drivers that know only those."""
    link = _link(fw, cmd.portid)
    return cmd.reply(
        lstatus=int(link.up),
        lspeed=_narrow(link.speed if link.up else 0),
        linkdnrc=links.reason(fw, cmd.portid),
        dcbxdis=1,
        ptype=PortType[fw.profile.ports.type],
        modtype=links.module(fw, cmd.portid),
        rxpause=int(bool(link.attributes & PortCaps.FC_RX)),
        txpause=int(bool(link.attributes & PortCaps.FC_TX)),
        pcap=_narrow(links.capabilities(fw, cmd.portid)),
        acap=_narrow(links.advertised(fw, cmd.portid)),
        lpacap=_narrow(links.advertised(fw, cmd.portid) if link.up else 0),
        mtu=links.MTU,
    )


@answers(PortL1Config32)
def configure32(fw: Firmware, pf: int, cmd: PortL1Config32) -> FwCommand:
    """Configures a link, which comes up if its speed is requested."""
    return _configure(fw, cmd, cmd.rcap32)


@answers(PortL1Config)
def configure(fw: Firmware, pf: int, cmd: PortL1Config) -> FwCommand:
    """Configures a link in 16-bit capabilities."""
    return _configure(fw, cmd, _widen(cmd.rcap))


def _configure(fw: Firmware, cmd: FwCommand, wanted: int) -> FwCommand:
    port = cmd.portid
    link = _link(fw, port)
    if wanted & ~int(link.capabilities | PortCaps.FORCE_PAUSE | IGNORED):
        raise Refused(Retval.EINVAL, f"port {port} cannot be set to {wanted:#x}")
    if wanted != PortCaps.ANEG:  # alone, it negotiates anew (t4_restart_aneg())
        link.wanted = wanted
    fw.note(Facility.PORT, "port %d: set to 0x%08x", port, wanted)
    links.update(fw, port)
    return cmd.reply()


def _narrow(caps: int) -> int:
    return sum(PortCaps16[name] for name in SAME_NAME if caps & PortCaps[name])


def _widen(caps: int) -> int:
    return sum(PortCaps[name] for name in SAME_NAME if caps & PortCaps16[name])
