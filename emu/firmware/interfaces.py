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
MODES = {
    "promiscen": "promiscuous",
    "allmultien": "all_multicast",
    "broadcasten": "broadcast",
    "vlanexen": "strips_vlan",
}
"""The two-bit fields of FW_VI_RXMODE, and the fields of an interface that they set."""
UNCHANGED = 3
"""The value that leaves a two-bit field of the receive mode unchanged."""


def interface(fw: Firmware, viid: int) -> Interface:
    """Returns the interface with this id; Refused (EINVAL) if it is not allocated."""
    found = fw.state.interfaces.get(viid)
    if found is None:
        raise Refused(Retval.EINVAL, f"no virtual interface {viid:#x}")
    return found


def show(fw: Firmware, found: Interface) -> None:
    """Makes the card receive and send as an interface's settings say."""
    fw.engine.show_interface(found)


@answers(Vi)
def vi(fw: Firmware, pf: int, cmd: Vi) -> FwCommand:
    """Allocates an interface on a port, or frees one."""
    if cmd.free:
        interface(fw, cmd.viid)
        fw.free_interface(cmd.viid)
        return cmd.reply()
    if not cmd.alloc or cmd.portid >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"port {cmd.portid}")
    viid = take(fw.state.interfaces, FIRST_VIID, VIIDS, "virtual interface")
    mac = fw.scenario.identity.mac(cmd.portid)
    made = Interface(
        viid=viid,
        port=cmd.portid,
        pf=pf,
        mac=mac,
        broadcast=1,
        rss_first=(viid - FIRST_VIID) * RSS_SLICE,
        rss_count=RSS_SLICE,
        hash_ip4_ports=1,
        hash_ip4=1,
        hash_ip6_ports=1,
        hash_ip6=1,
    )
    fw.state.interfaces[viid] = made
    show(fw, made)
    fw.note(Facility.VI, "PF%d: interface 0x%x on port %d", pf, viid, cmd.portid)
    return cmd.reply(viid=viid, vfvld=1, vin=viid & VIN_MASK, mac=mac, nmac=0, rsssize=RSS_SLICE)


@answers(ViMacExact)
def mac_exact(fw: Firmware, pf: int, cmd: ViMacExact) -> FwCommand:
    """Adds, changes or frees addresses; the reply has the table index of each."""
    interface(fw, cmd.viid)
    if cmd.freemacs:
        fw.free_macs(cmd.viid)
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
        fw.free_mac(found)
        return found
    if index in (MacIndex.ADD_MAC, MacIndex.ADD_PERSIST_MAC):
        first = len(fw.scenario.mac_table.entries)
        index = take(macs, first, fw.chip.mps.tcam_entries - first, "MAC entry")
    elif index >= fw.chip.mps.tcam_entries:
        raise Refused(Retval.EINVAL, f"MAC entry {index}")
    macs[index] = (viid, mac)
    fw.engine.show_mac(index, mac, viid)
    return index


@answers(ViMacHash)
def mac_hash(fw: Firmware, pf: int, cmd: ViMacHash) -> FwCommand:
    """Sets the hashes of the multicast addresses that are received, and perhaps of unicast ones."""
    found = interface(fw, cmd.viid)
    found.multicast_hash = cmd.hashvec
    found.unicast_hash = cmd.hashvec if cmd.hashunien else 0
    show(fw, found)
    return cmd.reply()


@answers(ViMacRaw, ViMacVni)
def mac_other(fw: Firmware, pf: int, cmd: ViMacRaw | ViMacVni) -> FwCommand:
    """Accepts raw and tunnelled addresses, which have no effect here."""
    interface(fw, cmd.viid)
    return cmd.reply()


@answers(ViRxmode)
def receive_mode(fw: Firmware, pf: int, cmd: ViRxmode) -> FwCommand:
    """Sets the MTU, and what is received beyond the interface's own addresses."""
    found = interface(fw, cmd.viid)
    if cmd.mtu != RXMODE_MTU_NO_CHANGE:
        found.mtu = cmd.mtu
    for field, name in MODES.items():
        value = getattr(cmd, field)
        if value != UNCHANGED:
            setattr(found, name, int(value != 0))
    show(fw, found)
    return cmd.reply()


@answers(ViEnable)
def enable(fw: Firmware, pf: int, cmd: ViEnable) -> FwCommand:
    """Enables or disables an interface's two directions; blinking its LED is accepted."""
    found = interface(fw, cmd.viid)
    if not cmd.led:
        found.receives, found.sends = cmd.ien, cmd.een
        show(fw, found)
        fw.show_enabled(found.port)
        fw.note(Facility.VI, "interface 0x%x: enabled %d", cmd.viid, int(cmd.ien or cmd.een))
    return cmd.reply()


@answers(ViStats)
def statistics(fw: Firmware, pf: int, cmd: ViStats) -> FwCommand:
    """Returns zero counters: the interface has carried no traffic."""
    interface(fw, cmd.viid)
    return cmd.reply()
