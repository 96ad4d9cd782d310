"""Links: when they are up, what shows that, and what the drivers hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import PortAction, PortCaps, PortInfo32, PortModule, PortType
from vmcoredd.chip.firmware.port import LinkDown
from vmcoredd.chip.messages import Fw6Message
from vmcoredd.emu.firmware.state import Link

if TYPE_CHECKING:
    from vmcoredd.emu.firmware.firmware import Firmware

MTU = 9600
CORRECTION = PortCaps.FEC_RS | PortCaps.FEC_BASER_RS


def module(fw: Firmware, number: int) -> PortModule:
    """Returns the type of module in a port: none where there is no cable, NA without a cage."""
    found = fw.scenario.transceivers[number]
    if found is None:
        return PortModule.NA
    empty = fw.engine.is_open(number) or fw.state.links[number].pulled
    return PortModule.NONE if empty else found.kind


def capabilities(fw: Firmware, number: int) -> int:
    """Returns what a port can do (PortCaps); the ends of a copper cable negotiate."""
    found = fw.scenario.transceivers[number]
    caps = fw.state.links[number].capabilities
    copper = found is not None and found.kind is PortModule.TWINAX_PASSIVE
    return int(caps | PortCaps.ANEG if copper else caps)


def advertised(fw: Firmware, number: int) -> int:
    """Returns what a port offers its peer: what the driver has set, at first all it can do.

    A driver takes the error correction in use from there (t4_handle_get_port_info()).
    """
    link, can = fw.state.links[number], capabilities(fw, number)
    asked = link.wanted & can or can
    return int(asked & ~CORRECTION | link.speed | link.correction)


def boot(fw: Firmware) -> None:
    """Brings the ports to the state that the scene begins with; no driver hears of that."""
    fw.engine.on_link = fw.engine.on_module = None
    for number, link in enumerate(fw.state.links):
        fw.engine.enable_port(number, enabled=fw.scenario.crashed)
        _configure(fw, number)
        fw.spaces.put(fw.r.MAC_PORT_LINK_STATUS, element=number, linkup=int(link.up))
    fw.engine.on_link = lambda number, up: changed(fw, number, up)
    fw.engine.on_module = lambda number: tell(fw, number)


def update(fw: Firmware, number: int) -> None:
    """Brings a port in line with its settings, and tells the drivers."""
    _configure(fw, number)
    tell(fw, number)


def pull(fw: Firmware, number: int, *, pulled: bool) -> None:
    """Pulls the cable out of a port, whatever its wire, or plugs it in again."""
    fw.state.links[number].pulled = pulled
    update(fw, number)


def _configure(fw: Firmware, number: int) -> None:
    link = fw.state.links[number]
    fw.engine.configure_port(
        number,
        configured=link.configured,
        gigabits=fw.profile.ports.speed,
        sends_pauses=bool(link.wanted & PortCaps.FC_TX),
        obeys_pauses=bool(link.wanted & PortCaps.FC_RX),
    )


def changed(fw: Firmware, number: int, up: bool) -> None:
    """Shows in MAC and log that a link has come up or gone down, and tells the drivers."""
    link = fw.state.links[number]
    link.up = up
    status = fw.r.MAC_PORT_LINK_STATUS
    fw.spaces.put(status, element=number, linkup=int(up), linkdn=int(not up))
    if up:
        fw.note(Facility.PORT, "port %u: link up, %u Gbps", number, fw.profile.ports.speed)
    elif not link.broken:
        fw.note(Facility.PORT, "port %u: link down, reason %u", number, reason(fw, number))
    tell(fw, number)


def tell(fw: Firmware, number: int) -> None:
    """Sends what a driver can read of a port to the event queues."""
    ask = PortInfo32(portid=number, action=PortAction.GET_PORT_INFO32)
    fw.engine.tell(number, bytes(Fw6Message.of(bytes(describe(fw, ask)))))


def describe(fw: Firmware, ask: PortInfo32) -> PortInfo32:
    """Returns the answer to a command that reads all of a port."""
    link = fw.state.links[ask.portid]
    offered = advertised(fw, ask.portid)
    return ask.reply(
        lstatus32=int(link.up),
        linkdnrc32=reason(fw, ask.portid),
        dcbxdis32=1,
        porttype32=PortType[fw.profile.ports.type],
        modtype32=module(fw, ask.portid),
        mtu32=MTU,
        linkattr32=link.attributes,
        pcaps32=capabilities(fw, ask.portid),
        acaps32=offered,
        lpacaps32=offered if link.up else 0,
    )


def reason(fw: Firmware, number: int) -> LinkDown:
    """Returns why a port's link is down; UNSPECIFIED also if it is up."""
    link: Link = fw.state.links[number]
    if link.up:
        return LinkDown.UNSPECIFIED
    if link.broken is not None:
        return link.broken
    return LinkDown.NO_SIGNAL if link.configured or link.pulled else LinkDown.UNSPECIFIED
