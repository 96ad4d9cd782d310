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
    PortModule,
    PortType,
    Retval,
)
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Link

MTU = 9600
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
    link = _link(fw, cmd.portid)
    caps = int(link.capabilities)
    return cmd.reply(
        lstatus32=int(link.up),
        porttype32=PortType[fw.profile.ports.type],
        modtype32=PortModule.SR,
        mtu32=MTU,
        linkattr32=link.attributes,
        pcaps32=caps,
        acaps32=caps,
        lpacaps32=int(link.speed),
    )


@answers(PortInfo)
def info(fw: Firmware, pf: int, cmd: PortInfo) -> FwCommand:
    """Returns the same in 16-bit capabilities, for drivers that know only those."""
    link = _link(fw, cmd.portid)
    caps = _narrow(link.capabilities)
    return cmd.reply(
        lstatus=int(link.up),
        lspeed=_narrow(link.speed),
        ptype=PortType[fw.profile.ports.type],
        modtype=PortModule.SR,
        pcap=caps,
        acap=caps,
        mtu=MTU,
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
    link.wanted = wanted
    link.up = bool(wanted & link.speed) and not link.broken
    fw.note(Facility.PORT, "port %d: set to 0x%08x, link %d", port, wanted, int(link.up))
    return cmd.reply()


def _narrow(caps: int) -> int:
    return sum(PortCaps16[name] for name in SAME_NAME if caps & PortCaps[name])


def _widen(caps: int) -> int:
    return sum(PortCaps[name] for name in SAME_NAME if caps & PortCaps16[name])
