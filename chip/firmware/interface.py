"""Virtual interfaces: allocation, MAC addresses, receive mode, enabling, statistics, ACLs."""

from __future__ import annotations

from enum import IntEnum

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import ALLOC, OF_FUNCTION, OF_VI, FwCommand, header
from vmcoredd.chip.layout import BigStruct, reserved, u8, u16, u32, u64, word


class Vi(FwCommand):
    """Allocate a virtual interface on a port. The reply has its id, MAC addresses and RSS slice."""

    OPCODE = Op.VI
    _fields_ = (
        *header(OF_FUNCTION, f"{ALLOC} vfvld:24:1 vin:16:8"),
        *word("type:15:1 viid:0:12", u16),
        ("mac", u8 * 6),
        *word("portid:4:4", u8),
        ("nmac", u8),
        ("nmac0", u8 * 6),
        *word("rsssize:0:11", u16),
        ("nmac1", u8 * 6),
        *word("idsiiq:0:10", u16),
        ("nmac2", u8 * 6),
        *word("idseiq:0:10", u16),
        ("nmac3", u8 * 6),
        *reserved(16),
    )


class ViMacEntry(IntEnum):
    """The kinds of VI_MAC command (enum fw_vi_mac_entry_types)."""

    EXACTMAC = 0
    HASHVEC = 1
    RAW = 2
    EXACTMAC_VNI = 3


class MacIndex(IntEnum):
    """Values of `idx` that request something other than an entry."""

    ADD_MAC = 0x3FF
    ADD_PERSIST_MAC = 0x3FE
    MAC_BASED_FREE = 0x3FD
    ID_BASED_FREE = 0x3FC


_MAC_HEADER = header(f"smtid:12:8 {OF_VI}", "freemacs:31:1 entry_type:23:3")
_MAC_PLACE = "valid:15:1 prio:12:3 smac_result:10:2 idx:0:10"


class ExactMac(BigStruct):
    """A MAC address and the entry of the MPS TCAM it goes to."""

    _fields_ = (*word(_MAC_PLACE, u16), ("macaddr", u8 * 6))


class VniMac(BigStruct):
    """A MAC address under a mask, within a virtual network."""

    _fields_ = (
        *word(_MAC_PLACE, u16),
        ("macaddr", u8 * 6),
        ("r7", u16),
        ("macaddr_mask", u8 * 6),
        *word("lookup_type:31:1 dip_hit:30:1 vni:0:24"),
        *word("vni_mask:0:24"),
    )


class ViMac(FwCommand):
    """The command with its operands as bytes; `entry_type` selects one of the layouts below."""

    OPCODE = Op.VI_MAC
    _fields_ = (*_MAC_HEADER, ("operand", u8 * 56))

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        return VI_MAC_VARIANTS.get(cls.from_bytes(data).entry_type, cls)


class ViMacExact(FwCommand):
    """Up to seven exact MAC addresses."""

    OPCODE = Op.VI_MAC
    _fields_ = (*_MAC_HEADER, ("exact", ExactMac * 7))


class ViMacHash(FwCommand):
    """The 64-bit hash vector of inexact multicast or unicast addresses."""

    OPCODE = Op.VI_MAC
    _fields_ = (
        *header(f"smtid:12:8 {OF_VI}", "freemacs:31:1 entry_type:23:3 hashunien:22:1"),
        ("hashvec", u64),
        *reserved(48),
    )


class ViMacRaw(FwCommand):
    """A raw entry of the MPS TCAM: data and mask."""

    OPCODE = Op.VI_MAC
    _fields_ = (
        *_MAC_HEADER,
        *word("raw_idx:16:16 raw_free:0:16"),
        ("data0", u32),
        ("data1", u32 * 2),
        ("data0m", u64),
        ("data1m", u32 * 2),
        *reserved(24),
    )


class ViMacVni(FwCommand):
    """Up to two MAC addresses within a virtual network."""

    OPCODE = Op.VI_MAC
    _fields_ = (*_MAC_HEADER, ("exact_vni", VniMac * 2), *reserved(8))


VI_MAC_VARIANTS: dict[int, type[FwCommand]] = {
    ViMacEntry.EXACTMAC: ViMacExact,
    ViMacEntry.HASHVEC: ViMacHash,
    ViMacEntry.RAW: ViMacRaw,
    ViMacEntry.EXACTMAC_VNI: ViMacVni,
}

RXMODE_MTU_NO_CHANGE = 0xFFFF
"""ViRxmode.mtu: keep the MTU."""


class ViRxmode(FwCommand):
    """Set the MTU and the receive filters; 3 in a two-bit field keeps its setting."""

    OPCODE = Op.VI_RXMODE
    _fields_ = (
        *header(OF_VI),
        *word("mtu:16:16 promiscen:14:2 allmultien:12:2 broadcasten:10:2 vlanexen:8:2"),
        *reserved(4),
    )


class ViEnable(FwCommand):
    """Switch ingress and egress on or off, or blink the LED (`blinkdur` times)."""

    OPCODE = Op.VI_ENABLE
    _fields_ = (
        *header(OF_VI, "ien:31:1 een:30:1 led:29:1 dcb_info:28:1"),
        ("blinkdur", u16),
        *reserved(6),
    )


class ViStats(FwCommand):
    """Six counters of a virtual interface, from `ix` on."""

    OPCODE = Op.VI_STATS
    _fields_ = (*header(OF_VI), *word("nstats:12:3 ix:0:5", u16), *reserved(6), ("stat", u64 * 6))


class AclMac(FwCommand):
    """The MAC addresses a virtual function may send from."""

    OPCODE = Op.ACL_MAC
    _fields_ = (
        *header(OF_FUNCTION, "en:31:1"),
        ("nmac", u8),
        ("r3", u8 * 7),
        ("r4", u16),
        ("macaddr0", u8 * 6),
        ("r5", u16),
        ("macaddr1", u8 * 6),
        ("r6", u16),
        ("macaddr2", u8 * 6),
        ("r7", u16),
        ("macaddr3", u8 * 6),
    )


class AclVlan(FwCommand):
    """The VLANs a virtual function may use."""

    OPCODE = Op.ACL_VLAN
    _fields_ = (
        *header(OF_FUNCTION, "en:31:1"),
        ("nvlan", u8),
        *word("dropnovlan:7:1 fm:6:1", u8),
        ("r3_lo", u8 * 6),
        ("vlanid", u16 * 16),
    )
