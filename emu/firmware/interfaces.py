"""Commands about virtual interfaces: allocation, addresses, receive mode, enabling."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    Command,
    Retval,
    Vi,
    ViEnable,
    ViMacExact,
    ViMacHash,
    ViMacRaw,
    ViMacVni,
    ViRxmode,
    ViStats,
)
from vmcoredd.chip.firmware.interface import RXMODE_MTU_NO_CHANGE, MacIndex
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.resources import take
from vmcoredd.emu.firmware.state import Interface

RSS_SIZE = 128
"""Queues in an interface's slice of the RSS table."""
FIRST_VIID, VIIDS = 0x240, 64
VIN_MASK = 0x7F
"""The number of an interface within its function is the end of its id (cxgb4.h, FW_VIID_VIN)."""
UNCHANGED = 3
"""A two-bit field of the receive mode that leaves things as they are."""


def interface(fw: Firmware, viid: int) -> Interface:
    """An interface that was given out; Refused (EINVAL) if it was not."""
    found = fw.state.interfaces.get(viid)
    if found is None:
        raise Refused(Retval.EINVAL, f"no virtual interface {viid:#x}")
    return found


@answers(Vi)
def vi(fw: Firmware, pf: int, ask: Vi) -> Command:
    """Gives an interface on a port, or takes one back."""
    if ask.free:
        interface(fw, ask.viid)
        del fw.state.interfaces[ask.viid]
        fw.state.macs = {n: entry for n, entry in fw.state.macs.items() if entry[0] != ask.viid}
        return ask.reply()
    if not ask.alloc or ask.portid >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"port {ask.portid}")
    viid = take(fw.state.interfaces, FIRST_VIID, VIIDS, "virtual interface")
    mac = fw.card.scenario.identity.mac(ask.portid)
    base = (viid - FIRST_VIID) * RSS_SIZE
    fw.state.interfaces[viid] = Interface(pf, ask.portid, mac, base)
    fw.note(Facility.VI, "PF%d: interface 0x%x on port %d", pf, viid, ask.portid)
    return ask.reply(viid=viid, vfvld=1, vin=viid & VIN_MASK, mac=mac, nmac=0, rsssize=RSS_SIZE)


@answers(ViMacExact)
def mac_exact(fw: Firmware, pf: int, ask: ViMacExact) -> Command:
    """Adds, changes or frees addresses; each answer says at which entry of the table."""
    interface(fw, ask.viid)
    if ask.freemacs:
        fw.state.macs = {n: entry for n, entry in fw.state.macs.items() if entry[0] != ask.viid}
        return ask.reply()
    answer = ask.reply()
    for place in answer.exact:
        if place.valid:
            place.idx = _place(fw, ask.viid, bytes(place.macaddr), place.idx)
    return answer


def _place(fw: Firmware, viid: int, mac: bytes, index: int) -> int:
    """The entry that an address goes to, or is taken from."""
    macs = fw.state.macs
    if index == MacIndex.MAC_BASED_FREE:
        found = next((n for n, entry in macs.items() if entry == (viid, mac)), None)
        if found is None:
            raise Refused(Retval.ENOENT, "no such address")
        del macs[found]
        return found
    if index in (MacIndex.ADD_MAC, MacIndex.ADD_PERSIST_MAC):
        first = len(fw.card.scenario.macs.entries)
        index = take(macs, first, fw.chip.mps_tcam_entries - first, "MAC entry")
    elif index >= fw.chip.mps_tcam_entries:
        raise Refused(Retval.EINVAL, f"MAC entry {index}")
    macs[index] = (viid, mac)
    return index


@answers(ViMacHash, ViMacRaw, ViMacVni)
def mac_other(fw: Firmware, pf: int, ask: ViMacHash | ViMacRaw | ViMacVni) -> Command:
    """Hashed, raw and tunnelled addresses are accepted, and change nothing here."""
    interface(fw, ask.viid)
    return ask.reply()


@answers(ViRxmode)
def receive_mode(fw: Firmware, pf: int, ask: ViRxmode) -> Command:
    """MTU and promiscuity are remembered."""
    found = interface(fw, ask.viid)
    if ask.mtu != RXMODE_MTU_NO_CHANGE:
        found.mtu = ask.mtu
    if ask.promiscen != UNCHANGED:
        found.promiscuous = bool(ask.promiscen)
    return ask.reply()


@answers(ViEnable)
def enable(fw: Firmware, pf: int, ask: ViEnable) -> Command:
    """Switches an interface on or off; blinking its light is accepted."""
    found = interface(fw, ask.viid)
    if not ask.led:
        found.enabled = bool(ask.ien or ask.een)
        fw.note(Facility.VI, "interface 0x%x: enabled %d", ask.viid, int(found.enabled))
    return ask.reply()


@answers(ViStats)
def statistics(fw: Firmware, pf: int, ask: ViStats) -> Command:
    """An interface of this card has carried nothing yet."""
    interface(fw, ask.viid)
    return ask.reply()
