"""Commands about virtual interfaces: allocation, MAC addresses, receive mode, enabling."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    FwCommand,
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
from vmcoredd.emu.firmware.state import Interface, take
from vmcoredd.emu.scenario.queues import RSS_SLICE

FIRST_VIID, VIIDS = 0x240, 64
VIN_MASK = 0x7F
"""The low bits of an interface's id are its number within its function (cxgb4.h, FW_VIID_VIN)."""
UNCHANGED = 3
"""The value that leaves a two-bit field of the receive mode unchanged."""


def interface(fw: Firmware, viid: int) -> Interface:
    """Returns the interface with this id; Refused (EINVAL) if it is not allocated."""
    found = fw.state.interfaces.get(viid)
    if found is None:
        raise Refused(Retval.EINVAL, f"no virtual interface {viid:#x}")
    return found


@answers(Vi)
def vi(fw: Firmware, pf: int, cmd: Vi) -> FwCommand:
    """Allocates an interface on a port, or frees one."""
    if cmd.free:
        interface(fw, cmd.viid)
        del fw.state.interfaces[cmd.viid]
        fw.state.free_macs(cmd.viid)
        return cmd.reply()
    if not cmd.alloc or cmd.portid >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"port {cmd.portid}")
    viid = take(fw.state.interfaces, FIRST_VIID, VIIDS, "virtual interface")
    mac = fw.scenario.identity.mac(cmd.portid)
    base = (viid - FIRST_VIID) * RSS_SLICE
    fw.state.interfaces[viid] = Interface(pf, cmd.portid, mac, base)
    fw.note(Facility.VI, "PF%d: interface 0x%x on port %d", pf, viid, cmd.portid)
    return cmd.reply(viid=viid, vfvld=1, vin=viid & VIN_MASK, mac=mac, nmac=0, rsssize=RSS_SLICE)


@answers(ViMacExact)
def mac_exact(fw: Firmware, pf: int, cmd: ViMacExact) -> FwCommand:
    """Adds, changes or frees addresses; the reply has the table index of each."""
    interface(fw, cmd.viid)
    if cmd.freemacs:
        fw.state.free_macs(cmd.viid)
        return cmd.reply()
    reply = cmd.reply()
    for slot in reply.exact:
        if slot.valid:
            slot.idx = _update_mac(fw, cmd.viid, bytes(slot.macaddr), slot.idx)
    return reply


def _update_mac(fw: Firmware, viid: int, mac: bytes, index: int) -> int:
    """Returns the index of the entry that was written or freed."""
    macs = fw.state.macs
    if index == MacIndex.MAC_BASED_FREE:
        found = next((n for n, entry in macs.items() if entry == (viid, mac)), None)
        if found is None:
            raise Refused(Retval.ENOENT, "no such address")
        del macs[found]
        return found
    if index in (MacIndex.ADD_MAC, MacIndex.ADD_PERSIST_MAC):
        first = len(fw.scenario.mac_table.entries)
        index = take(macs, first, fw.chip.mps.tcam_entries - first, "MAC entry")
    elif index >= fw.chip.mps.tcam_entries:
        raise Refused(Retval.EINVAL, f"MAC entry {index}")
    macs[index] = (viid, mac)
    return index


@answers(ViMacHash, ViMacRaw, ViMacVni)
def mac_other(fw: Firmware, pf: int, cmd: ViMacHash | ViMacRaw | ViMacVni) -> FwCommand:
    """Accepts hashed, raw and tunnelled addresses, which have no effect here."""
    interface(fw, cmd.viid)
    return cmd.reply()


@answers(ViRxmode)
def receive_mode(fw: Firmware, pf: int, cmd: ViRxmode) -> FwCommand:
    """Stores the MTU and promiscuous mode."""
    found = interface(fw, cmd.viid)
    if cmd.mtu != RXMODE_MTU_NO_CHANGE:
        found.mtu = cmd.mtu
    if cmd.promiscen != UNCHANGED:
        found.promiscuous = bool(cmd.promiscen)
    return cmd.reply()


@answers(ViEnable)
def enable(fw: Firmware, pf: int, cmd: ViEnable) -> FwCommand:
    """Enables or disables an interface; blinking its LED is accepted."""
    found = interface(fw, cmd.viid)
    if not cmd.led:
        found.enabled = bool(cmd.ien or cmd.een)
        fw.note(Facility.VI, "interface 0x%x: enabled %d", cmd.viid, int(found.enabled))
    return cmd.reply()


@answers(ViStats)
def statistics(fw: Firmware, pf: int, cmd: ViStats) -> FwCommand:
    """Returns zero counters: the interface has carried no traffic."""
    interface(fw, cmd.viid)
    return cmd.reply()
