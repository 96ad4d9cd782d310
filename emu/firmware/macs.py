"""Commands about the addresses of virtual interfaces: exact, hashed, raw, within a tunnel."""

from __future__ import annotations

from vmcoredd.chip.firmware import (
    FwCommand,
    Retval,
    ViMacExact,
    ViMacHash,
    ViMacRaw,
    ViMacVni,
)
from vmcoredd.chip.firmware.interface import MacIndex, VniMac
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.freeing import free_mac, free_macs
from vmcoredd.emu.firmware.interfaces import VIN_MASK, interface
from vmcoredd.emu.firmware.params import RAW_MACS
from vmcoredd.emu.firmware.showing import show
from vmcoredd.emu.firmware.state import Address, Interface, take_several
from vmcoredd.emu.scenario.addresses import Mac

NO_ADDRESS = bytes(6)
"""In place of an entry's address, it frees the entry (t4_hw.c, t4_free_encap_mac_filt())."""
ADDRESS_BYTES = 6
NEW = (MacIndex.ADD_MAC, MacIndex.ADD_PERSIST_MAC)


@answers(ViMacExact)
def mac_exact(fw: Firmware, pf: int, cmd: ViMacExact) -> FwCommand:
    """Adds, changes or frees addresses; the reply has the table index of each, and the interface's
    entry of the table of source addresses (OPAQUE_VIID_SMT_EXTN).

    When the table is full, it returns ENOMEM; addresses without an entry keep the index with
    which they came.
    """
    owner = interface(fw, pf, cmd.viid)
    if cmd.freemacs:
        free_macs(fw, cmd.viid, persistent=False)
    reply = cmd.reply(smtid=fw.chip.mps.smt_step * (cmd.viid & VIN_MASK))
    for slot in reply.exact:
        if slot.valid:
            try:
                slot.idx = _update(fw, owner, bytes(slot.macaddr), slot.idx)
            except Refused as refusal:
                if refusal.retval != Retval.ENOSPC:
                    raise
                reply.retval = Retval.ENOMEM
    return reply


def _update(fw: Firmware, owner: Interface, address: bytes, index: int) -> int:
    """Returns the index of the entry that was written or freed."""
    if index == MacIndex.MAC_BASED_FREE:
        found = _find(fw, owner, address)
        if found is None:
            raise Refused(Retval.ENOENT, "no such address")
        free_mac(fw, found)
        return found
    persistent = index == MacIndex.ADD_PERSIST_MAC
    if index in NEW:
        found = _find(fw, owner, address)
        index = _free_entries(fw, 1)[0] if found is None else found
    else:
        persistent = _entry(fw, owner, index).persistent
        if address == NO_ADDRESS:
            free_mac(fw, index)
            return index
    _store(fw, owner, Mac(index, address, 1 << owner.port, owner.pf), persistent=persistent)
    fw.engine.show_mac(index, address, owner.viid)
    return index


def _find(fw: Firmware, owner: Interface, address: bytes) -> int | None:
    """Returns the index of an interface's address outside of tunnels."""
    for number, one in fw.state.macs.items():
        if one.viid == owner.viid and one.mac.address == address and not one.mac.inner:
            return number
    return None


def _entry(fw: Firmware, owner: Interface, index: int) -> Address:
    """Returns an interface's entry; Refused (EINVAL) if it is not one of its own."""
    found = fw.state.macs.get(index)
    if found is None or found.viid != owner.viid:
        raise Refused(Retval.EINVAL, f"MAC entry {index} is not of interface {owner.viid:#x}")
    return found


def _free_entries(fw: Firmware, wanted: int) -> list[int]:
    """Returns the first free entries behind the scene's, and before those for raw patterns."""
    first = 1 + max((mac.index for mac in fw.scenario.mac_table.entries), default=-1)
    count = _raw_entries(fw).start - first
    return take_several(fw.state.macs, first, count, "MAC entry", wanted)


def _raw_entries(fw: Firmware) -> range:
    end = fw.chip.mps.tcam_entries
    return range(end - RAW_MACS, end)


def _store(fw: Firmware, owner: Interface, mac: Mac, *, persistent: bool = False) -> None:
    fw.state.macs[mac.index] = Address(owner.viid, mac, persistent)
    fw.classifier.store(mac)


@answers(ViMacHash)
def mac_hash(fw: Firmware, pf: int, cmd: ViMacHash) -> FwCommand:
    """Sets the hashes of the multicast addresses that are received, and perhaps of unicast ones."""
    found = interface(fw, pf, cmd.viid)
    found.multicast_hash = cmd.hashvec
    found.unicast_hash = cmd.hashvec if cmd.hashunien else 0
    show(fw, found)
    return cmd.reply()


@answers(ViMacVni)
def mac_vni(fw: Firmware, pf: int, cmd: ViMacVni) -> FwCommand:
    """Adds addresses within virtual networks; FW_VI_MAC's exact form frees them."""
    owner, reply = interface(fw, pf, cmd.viid), cmd.reply()
    _check_tunnels(fw)
    slots = [slot for slot in reply.exact_vni if slot.valid]
    if any(slot.idx not in NEW for slot in slots):
        raise Refused(Retval.EINVAL, "an address in a network is added, and not changed")
    for slot, index in zip(slots, _free_entries(fw, len(slots)), strict=True):
        slot.idx = index
        _store(fw, owner, _within_network(owner, slot))
    return reply


def _within_network(owner: Interface, slot: VniMac) -> Mac:
    return Mac(
        slot.idx,
        bytes(slot.macaddr),
        1 << owner.port,
        owner.pf,
        vni=slot.vni,
        vni_mask=slot.vni_mask,
        mask=int.from_bytes(bytes(slot.macaddr_mask), "big"),
        inner=bool(slot.lookup_type),
        hits_destination=bool(slot.dip_hit),
    )


@answers(ViMacRaw)
def mac_raw(fw: Firmware, pf: int, cmd: ViMacRaw) -> FwCommand:
    """Writes or frees an entry that the driver gives as it is, in the range for such entries."""
    owner, index = interface(fw, pf, cmd.viid), cmd.raw_idx
    _check_tunnels(fw)
    if index not in _raw_entries(fw):
        raise Refused(Retval.EINVAL, f"MAC entry {index} is not for raw patterns")
    if cmd.raw_free == MacIndex.ID_BASED_FREE:
        _entry(fw, owner, index)
        free_mac(fw, index)
        return cmd.reply()
    data2 = fw.r.MPS_CLS_TCAM_DATA2_CTL
    mac = Mac(
        index,
        bytes(cmd.data1)[-ADDRESS_BYTES:],
        1 << owner.port,
        owner.pf,
        mask=int.from_bytes(bytes(cmd.data1m)[-ADDRESS_BYTES:], "big"),
        inner=bool(data2.get(cmd.data0, "DataLkpType")),
        port_number=data2.get(cmd.data0, "DataPortNum"),
    )
    if index in fw.state.macs:
        _entry(fw, owner, index)
    _store(fw, owner, mac)
    return cmd.reply()


def _check_tunnels(fw: Firmware) -> None:
    if not fw.chip.mps.tcam_by_request:
        raise Refused(Retval.EINVAL, "the TCAM knows no tunnels")
