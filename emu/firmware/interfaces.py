"""Commands about virtual interfaces: allocation, receive mode, enabling."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    FwCommand,
    Retval,
    Vi,
    ViEnable,
    ViRxmode,
)
from vmcoredd.chip.le import virtual_interface
from vmcoredd.chip.tp import RSS_QUEUES_PER_ROW
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.freeing import free_interface
from vmcoredd.emu.firmware.showing import show
from vmcoredd.emu.firmware.state import Interface, take
from vmcoredd.emu.scenario.queues import RSS_SLICE

VIN_MASK, VIID_VALID, VIID_PF_SHIFT = 0x7F, 1 << 7, 8
"""An interface's id is a number, a valid bit, and its function (t4fw_api.h, FW_VIID_*). Here, no
two interfaces of a card have the same number."""
FIRST = 1
"""The first number (assumed: a filter for the interface 0 would match all of the function's, as
cxgb4_filter.c, fill_default_mask(), leaves a 0 unmasked)."""
MODES = {
    "promiscen": "promiscuous",
    "allmultien": "all_multicast",
    "broadcasten": "broadcast",
    "vlanexen": "strips_vlan",
}
"""The two-bit fields of FW_VI_RXMODE, and the fields of an interface that they set."""
UNCHANGED = 3
"""The value that leaves a two-bit field of the receive mode unchanged."""


def interface(fw: Firmware, pf: int, viid: int) -> Interface:
    """Returns a function's interface; Refused (EINVAL) if it has none with this id."""
    found = fw.state.interfaces.get(viid)
    if found is None or found.pf != pf:
        raise Refused(Retval.EINVAL, f"no virtual interface {viid:#x}")
    return found


def slices(fw: Firmware) -> int:
    """Returns how many interfaces the card can have: each needs a slice of the RSS table."""
    return fw.chip.tp.rss_rows * RSS_QUEUES_PER_ROW // RSS_SLICE


@answers(Vi)
def vi(fw: Firmware, pf: int, cmd: Vi) -> FwCommand:
    """Allocates an interface on a port, or frees one."""
    if cmd.free:
        interface(fw, pf, cmd.viid)
        free_interface(fw, cmd.viid)
        return cmd.reply()
    if not cmd.alloc or cmd.portid >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"port {cmd.portid}")
    used = {row.viid & VIN_MASK for row in fw.state.interfaces.values()}
    most = min(slices(fw), VIN_MASK)
    number = take(used, FIRST, most, "virtual interface")
    made = _made(fw, pf, cmd.portid, number)
    fw.state.interfaces[made.viid] = made
    show(fw, made)
    fw.note(Facility.VI, "PF%d: interface 0x%x on port %d", pf, made.viid, cmd.portid)
    return cmd.reply(
        viid=made.viid, vfvld=1, vin=number, mac=made.mac, nmac=0, rsssize=made.rss_count
    )


def _made(fw: Firmware, pf: int, port: int, number: int) -> Interface:
    """Returns a new interface: it receives broadcasts, and hashes all that it can but UDP."""
    return Interface(
        viid=pf << VIID_PF_SHIFT | VIID_VALID | number,
        port=port,
        pf=pf,
        mac=fw.scenario.identity.mac(port),
        broadcast=1,
        vnic_id=virtual_interface(pf, number),
        rss_first=(number - FIRST) * RSS_SLICE,
        rss_count=RSS_SLICE,
        hash_ip4_ports=1,
        hash_ip4=1,
        hash_ip6_ports=1,
        hash_ip6=1,
    )


@answers(ViRxmode)
def receive_mode(fw: Firmware, pf: int, cmd: ViRxmode) -> FwCommand:
    """Sets what is received beyond the interface's own addresses; its MTU changes nothing."""
    found = interface(fw, pf, cmd.viid)
    for field, name in MODES.items():
        value = getattr(cmd, field)
        if value != UNCHANGED:
            setattr(found, name, int(value != 0))
    show(fw, found)
    return cmd.reply()


@answers(ViEnable)
def enable(fw: Firmware, pf: int, cmd: ViEnable) -> FwCommand:
    """Enables or disables an interface's two directions; or its LED blinks, as the log says."""
    found = interface(fw, pf, cmd.viid)
    if cmd.led:
        blinks = cmd.blinkdur
        fw.note(Facility.PORT, f"port %d: LED {'blinks' if blinks else 'is still'}", found.port)
        return cmd.reply()
    found.receives, found.sends = cmd.ien, cmd.een
    show(fw, found)
    fw.note(Facility.VI, "interface 0x%x: enabled %d", cmd.viid, int(cmd.ien or cmd.een))
    return cmd.reply()
