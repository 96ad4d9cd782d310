"""The card's serial number and MAC addresses, and the MAC table of the packet switch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random

from vmcoredd.chip.pci import PF
from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario.queues import virtual_functions

OUI = bytes.fromhex("000743")
"""Chelsio Communications."""
GROUPS = (b"\xff" * 6, bytes.fromhex("333300000001"))
"""The broadcast and IPv6 all-nodes addresses, which every running function receives."""
LLDP = bytes.fromhex("0180c200000e")
RUNNING_VFS = 2
"""Virtual functions in use per physical function that has any."""
VXLAN_NETWORK = 0x2A17
ANY_BIT = (1 << 48) - 1
"""The mask of an exact address."""


@dataclass(frozen=True)
class Identity:
    """The identity on the card's label."""

    serial: str
    base_mac: bytes
    """The MAC of port 0; those of the other ports follow it."""

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Identity:
        """Returns a label, with the profile's serial number if it has one."""
        serial = profile.vpd.serial or f"PT{random.randrange(10**8):08}"
        low = random.randrange(0x100000) << 4
        return cls(serial, OUI + low.to_bytes(3, "big"))

    def mac(self, port: int) -> bytes:
        """Returns the MAC of a port."""
        return (int.from_bytes(self.base_mac, "big") + port).to_bytes(6, "big")


@dataclass(frozen=True)
class Mac:
    """An entry of the TCAM. `pf`, `vf`: who receives; `vfs`: virtual functions that get a copy."""

    index: int
    address: bytes
    ports: int
    """One bit per port on which the entry applies."""
    pf: int = PF
    vf: int | None = None
    vfs: tuple[int, ...] = ()
    vni: int | None = None
    """The VXLAN network, for an address inside a tunnel."""
    mask: int = ANY_BIT
    """The bits of the address that must match."""
    vni_mask: int = (1 << 24) - 1
    inner: bool = False
    """Whether it is compared with the address inside a tunnel."""
    hits_destination: bool = False
    """DataDIPHit: whether the outer destination must be a known one."""
    port_number: int = 0
    """DataPortNum of an entry that the driver gives as it is."""


@dataclass(frozen=True)
class MacTable:
    """All entries in use, by index."""

    entries: tuple[Mac, ...]

    @classmethod
    def unused(cls, profile: Profile) -> MacTable:
        """Returns what firmware sets up: it receives LLDP itself, on all ports (assumed)."""
        return cls((Mac(0, LLDP, (1 << profile.ports.count) - 1),))

    @classmethod
    def make(cls, profile: Profile, identity: Identity, random: Random) -> MacTable:
        """Makes entries: LLDP's, those of ports, groups and virtual functions, and one in a tunnel
        if the chip can."""
        ports = range(profile.ports.count)
        owners = {
            vf: pf for pf in range(PF) for vf in virtual_functions(profile.chip, pf)[:RUNNING_VFS]
        }
        all_ports, index = (1 << len(ports)) - 1, count(1)
        found = list(cls.unused(profile).entries)
        found += [Mac(next(index), identity.mac(port), 1 << port) for port in ports]
        found += [Mac(next(index), group, all_ports, vfs=tuple(owners)) for group in GROUPS]
        for vf, pf in owners.items():
            address = b"\x06" + identity.base_mac[1:4] + bytes((pf, vf))
            found.append(Mac(next(index), address, 1 << pf % len(ports), pf, vf))
        if profile.chip.mps.tcam_by_request:
            inside = bytes((0x02, 0, 0, 0, 0, random.randrange(256)))
            found.append(Mac(next(index), inside, 1, vni=VXLAN_NETWORK, inner=True))
        return cls(tuple(found))
