"""The MAC addresses that the packet switch knows, and who receives what is sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random

from emu.profile import Profile
from emu.state.identity import Identity
from emu.state.queues import UNIFIED_PF, VFS_PER_PF

GROUPS = (b"\xff" * 6, bytes.fromhex("333300000001"))
"""Broadcast and IPv6's all nodes: every running function receives them."""
LLDP = bytes.fromhex("0180c200000e")
VIRTUAL_PER_PORT = 4
"""Virtual functions of each port that were running."""
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
        vfs = tuple(VFS_PER_PF * port + i for port in ports for i in range(VIRTUAL_PER_PORT))
        everywhere, index = (1 << len(ports)) - 1, count()
        found = [Mac(next(index), identity.mac(port), 1 << port) for port in ports]
        found += [Mac(next(index), group, everywhere, vfs=vfs) for group in GROUPS]
        found.append(Mac(next(index), LLDP, everywhere))
        found += [_virtual(next(index), identity, vf) for vf in vfs]
        if profile.chip.mps.tcam_by_request:
            inside = bytes((0x02, 0, 0, 0, 0, random.randrange(256)))
            found.append(Mac(next(index), inside, 1, vni=VXLAN_NETWORK))
        return cls(tuple(found))


def _virtual(index: int, identity: Identity, vf: int) -> Mac:
    """The locally administered address of a virtual function, which has its function's port."""
    port, number = divmod(vf, VFS_PER_PF)
    address = b"\x06" + identity.base_mac[1:4] + bytes((port, number))
    return Mac(index, address, 1 << port, pf=port, vf=vf)
