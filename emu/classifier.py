"""How MPS, the packet switch, classifies frames: the MAC addresses in its TCAM, what becomes of a
match, and each port's filters for frames that no entry of the TCAM matches.

An entry of the TCAM is two patterns, Y and X: the bits that must be 1, and those that must be 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.mps import BROADCAST_ENTRY, HASHES, REPLICATION_WORDS
from vmcoredd.emu.engine import InterfaceRow
from vmcoredd.emu.scenario.addresses import ANY_BIT, Mac
from vmcoredd.emu.spaces import Spaces

OUTER, INNER = 0, 1
"""DataLkpType: the header that an entry is compared with."""
ENTRY_WORDS = 3
"""Words of a pattern where the TCAM is read by requests."""
HALF_MAP = REPLICATION_WORDS // 2
ALL_HASHES = (1 << HASHES) - 1


class Pattern(NamedTuple):
    """Y or X of an entry. A T5 has only the address."""

    address: int
    network: int = 0
    """VNI."""
    lookup: int = OUTER
    port: int = 0
    destination: int = 0


UNUSED = Pattern(ANY_BIT)
"""Y and X of an entry that matches nothing."""


def patterns(mac: Mac) -> tuple[Pattern, Pattern]:
    """Returns Y and X of an entry."""
    address, network, lookup = int.from_bytes(mac.address, "big"), mac.vni or 0, int(mac.inner)
    vni_mask = 0 if mac.vni is None else mac.vni_mask
    same = lookup, mac.port_number, int(mac.hits_destination)
    return (
        Pattern(address & mac.mask, network & vni_mask, *same),
        Pattern(~address & mac.mask, ~network & vni_mask, *same),
    )


class Classifier:
    """The tables of one card."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces, self._chip, self._r = spaces, spaces.chip, spaces.r

    # The TCAM

    def store(self, mac: Mac) -> None:
        """Makes an entry match, and says who gets the frame."""
        self._match(mac.index, *patterns(mac))
        action = self._r.MPS_CLS_SRAM_L.of(
            Valid=1,
            PF=mac.pf,
            VF_Valid=int(mac.vf is not None),
            VF=mac.vf or 0,
            Replicate=int(bool(mac.vfs)),
        )
        self._act(mac.index, action, self._r.MPS_CLS_SRAM_H.of(PortMap=mac.ports))
        self._replicate(mac.index, mac.vfs)

    def clear(self, index: int) -> None:
        """Makes an entry match nothing."""
        self._match(index, UNUSED, UNUSED)
        self._act(index, 0, 0)
        self._replicate(index, ())

    def _match(self, index: int, y: Pattern, x: Pattern) -> None:
        if self._chip.mps.tcam_by_request:
            words = [*self._words(y), *self._words(x)]
            self._spaces.space("mps_tcam").fill(2 * ENTRY_WORDS * index, words)
            return
        for half, pattern in (("Y", y), ("X", x)):
            low, high = (self._r[f"MPS_CLS_TCAM_{half}_{end}"] for end in "LH")
            self._spaces.set(low, pattern.address & U32_MASK, index)
            self._spaces.set(high, pattern.address >> 32, index)

    def _words(self, pattern: Pattern) -> tuple[int, int, int]:
        """Returns a pattern as a request reads it."""
        high, low = divmod(pattern.network, 1 << 16)
        data1 = self._r.MPS_CLS_TCAM_RDATA1_REQ_ID1.of(VIDL=low, DMACH=pattern.address >> 32)
        data2 = self._r.MPS_CLS_TCAM_RDATA2_REQ_ID1.of(
            DataPortNum=pattern.port,
            DataLkpType=pattern.lookup,
            DataDipHit=pattern.destination,
            DataVIDH2=high >> 7,
            DataVIDH1=high & 0x7F,
        )
        return pattern.address & U32_MASK, data1, data2

    def _act(self, index: int, low: int, high: int) -> None:
        self._spaces.set(self._r.MPS_CLS_SRAM_L, low, index)
        self._spaces.set(self._r.MPS_CLS_SRAM_H, high, index)

    def _replicate(self, index: int, vfs: Sequence[int]) -> None:
        bits = sum(1 << vf for vf in vfs)
        words = [bits >> 32 * i & U32_MASK for i in range(REPLICATION_WORDS)]
        for half, part in enumerate((words[:HALF_MAP], words[HALF_MAP:])):
            self._spaces.space(f"mps_replication_{half}").fill(HALF_MAP * index, part)

    def replication(self, index: int) -> tuple[int, ...]:
        """Returns the virtual functions that get copies of an entry's frames: a bit each, in words
        of 32, lowest first. IndexError if there is no such entry."""
        if not 0 <= index < self._chip.mps.tcam_entries:
            raise IndexError(f"MAC entry {index}")
        halves = (self._spaces.space(f"mps_replication_{half}").words for half in range(2))
        return tuple(w for words in halves for w in words[HALF_MAP * index :][:HALF_MAP])

    # The filters of a port

    def filter(self, port: int, rows: Sequence[InterfaceRow]) -> None:
        """Sets a port's filters to what its interfaces receive beyond their own addresses.

        Each filter has room for one function: the first interface that wants it.
        """
        hashes = self._r.instances("MPS_PORT_CLS_HASH_SRAM")[port]
        for bucket in range(HASHES):
            owner = _first(row for row in rows if _hashes(row) >> bucket & 1)
            self._spaces.set(hashes, self._bucket(owner), bucket)
        broadcast = _first(row for row in rows if row.broadcast)
        self._spaces.set(hashes, self._bucket(broadcast), BROADCAST_ENTRY)
        unicast = self._r.MPS_PORT_CLS_HASH_CTL
        self._spaces.put(
            unicast, element=port, UnicastEnable=int(any(r.unicast_hash for r in rows))
        )
        curious = _first(row for row in rows if row.promiscuous)
        promiscuous = {"Enable": 1, "PF": curious.pf} if curious else {}
        everything = self._r.MPS_PORT_CLS_PROMISCUOUS_CTL
        self._spaces.set(everything, everything.of(**promiscuous), port)

    def _bucket(self, owner: InterfaceRow | None) -> int:
        if owner is None:
            return 0
        hashes = self._r.instances("MPS_PORT_CLS_HASH_SRAM")[0]
        return hashes.of(Valid=1, PortMap=1 << owner.port, PF=owner.pf)

    def enable(self, port: int, *, receives: bool, sends: bool) -> None:
        """Opens a port's two directions, or closes them."""
        self._spaces.put(self._r.MPS_PORT_CTL, element=port, RxEn=int(receives), TxEn=int(sends))


def _first(rows: Iterable[InterfaceRow]) -> InterfaceRow | None:
    return next(iter(rows), None)


def _hashes(row: InterfaceRow) -> int:
    return ALL_HASHES if row.all_multicast else row.multicast_hash
