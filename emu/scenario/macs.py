"""The MAC addresses that the packet switch knows, and who receives what is sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random

from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario.identity import Identity
from vmcoredd.emu.scenario.queues import UNIFIED_PF, virtual_functions

GROUPS = (b"\xff" * 6, bytes.fromhex("333300000001"))
"""Broadcast and IPv6's all nodes: every running function receives them."""
LLDP = bytes.fromhex("0180c200000e")
RUNNING = 2
"""Virtual functions that were running, of each function that has some."""
VXLAN_NETWORK = 0x2A17


@dataclass(frozen=True)
class Mac:
    """An entry of the TCAM. `pf`, `vf`: who receives; `vfs`: virtual functions that get a copy."""

    index: int
    address: bytes
    ports: int
    """A bit for each port on which it counts."""
    pf: int = UNIFIED_PF
    vf: int | None = None
    vfs: tuple[int, ...] = ()
    vni: int | None = None
    """The VXLAN network, for an address inside a tunnel."""


@dataclass(frozen=True)
class Macs:
    """All entries in use, by index."""

    entries: tuple[Mac, ...]

    def of_port(self, port: int) -> Mac:
        """The entry of a port's own address; these come first."""
        return self.entries[port]

    @classmethod
    def make(cls, profile: Profile, identity: Identity, random: Random) -> Macs:
        """Ports, groups that everybody listens to, virtual functions, a tunnel (where one can be
        told from its inside)."""
        ports = range(profile.ports.count)
        owners = {
            vf: pf
            for pf in range(UNIFIED_PF)
            for vf in virtual_functions(profile.chip, pf)[:RUNNING]
        }
        everywhere, index = (1 << len(ports)) - 1, count()
        found = [Mac(next(index), identity.mac(port), 1 << port) for port in ports]
        found += [Mac(next(index), group, everywhere, vfs=tuple(owners)) for group in GROUPS]
        found.append(Mac(next(index), LLDP, everywhere))
        for vf, pf in owners.items():
            address = b"\x06" + identity.base_mac[1:4] + bytes((pf, vf))
            found.append(Mac(next(index), address, 1 << pf % len(ports), pf, vf))
        if profile.chip.mps.tcam_by_request:
            inside = bytes((0x02, 0, 0, 0, 0, random.randrange(256)))
            found.append(Mac(next(index), inside, 1, vni=VXLAN_NETWORK))
        return cls(tuple(found))
