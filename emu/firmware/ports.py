"""Commands about ports: what they are, and setting their links."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    Command,
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
from vmcoredd.emu.firmware import links
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Link

MTU = 9600
IGNORED = PortCaps.MDIAUTO | PortCaps.MDISTRAIGHT | PortCaps.ANEG
"""What the driver may ask of any port without effect."""
SAME_NAME = tuple(name for name in PortCaps16.__members__ if name in PortCaps.__members__)


def _link(fw: Firmware, number: int) -> Link:
    if number >= len(fw.state.links):
        raise Refused(Retval.EINVAL, f"no port {number}")
    return fw.state.links[number]


@answers(PortInfo32)
def info32(fw: Firmware, pf: int, ask: PortInfo32) -> Command:
    """All of a port, in 32-bit capabilities."""
    link, caps = _link(fw, ask.portid), int(links.capabilities(fw.profile))
    return ask.reply(
        lstatus32=int(link.up),
        porttype32=PortType[fw.profile.ports.type],
        modtype32=PortModule.SR,
        mtu32=MTU,
        linkattr32=links.attributes(fw.profile, link),
        pcaps32=caps,
        acaps32=caps,
        lpacaps32=int(links.speed(fw.profile)),
    )


@answers(PortInfo)
def info(fw: Firmware, pf: int, ask: PortInfo) -> Command:
    """The same for drivers that know 16-bit capabilities only."""
    link, caps = _link(fw, ask.portid), _narrow(links.capabilities(fw.profile))
    return ask.reply(
        lstatus=int(link.up),
        lspeed=_narrow(links.speed(fw.profile)),
        ptype=PortType[fw.profile.ports.type],
        modtype=PortModule.SR,
        pcap=caps,
        acap=caps,
        mtu=MTU,
    )


@answers(PortL1Config32)
def configure32(fw: Firmware, pf: int, ask: PortL1Config32) -> Command:
    """Sets what the link shall be; it comes up if its speed is the port's."""
    return _configure(fw, ask, ask.rcap32)


@answers(PortL1Config)
def configure(fw: Firmware, pf: int, ask: PortL1Config) -> Command:
    """The same in 16-bit capabilities."""
    return _configure(fw, ask, _widen(ask.rcap))


def _configure(fw: Firmware, ask: Command, wanted: int) -> Command:
    port = ask.portid
    link = _link(fw, port)
    if wanted & ~int(links.capabilities(fw.profile) | PortCaps.FORCE_PAUSE | IGNORED):
        raise Refused(Retval.EINVAL, f"port {port} cannot be set to {wanted:#x}")
    link.wanted = wanted
    link.up = bool(wanted & links.speed(fw.profile))
    fw.note(Facility.PORT, "port %d: set to 0x%08x, link %d", port, wanted, int(link.up))
    return ask.reply()


def _narrow(caps: int) -> int:
    return sum(PortCaps16[name] for name in SAME_NAME if caps & PortCaps[name])


def _widen(caps: int) -> int:
    return sum(PortCaps[name] for name in SAME_NAME if caps & PortCaps16[name])
