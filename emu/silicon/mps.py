"""MPS, the packet switch: its TCAM of MAC addresses, and the buffers and counters of its ports."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Register
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import PageCounts
from vmcoredd.chip.mps import REPLICATION_WORDS
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario.addresses import Mac
from vmcoredd.emu.scenario.traffic import Direction, PortTraffic
from vmcoredd.emu.silicon.model import Model, fault

ADDRESS = (1 << 48) - 1
UNUSED = ADDRESS
"""X and Y of an entry that matches nothing."""
OUTER, INNER = 0, 1
PRIORITIES = range(4)
ENTRY_WORDS = 3
SIZE_CLASSES = (
    "64B",
    "65B_127B",
    "128B_255B",
    "256B_511B",
    "512B_1023B",
    "1024B_1518B",
    "1519B_MAX",
)
"""Counters for the classes of emu.scenario.traffic.SIZES."""
PAGES = 256
"""Buffer pages in each group."""


def pattern(mac: Mac) -> tuple[int, int]:
    """Returns X and Y of an exact match: the bits that must be 0 and the bits that must be 1."""
    y = int.from_bytes(mac.address, "big")
    return ~y & ADDRESS, y


class MappedTcam(Model):
    """A T5's TCAM: registers that hold 64 bits of Y and of X for each entry."""

    def wire(self) -> None:
        if self.chip.mps.tcam_by_request:
            return
        for index in range(self.chip.mps.tcam_entries):
            self._store(index, UNUSED, UNUSED)
        for mac in self.scenario.mac_table.entries:
            self._store(mac.index, *pattern(mac))

    def _store(self, index: int, x: int, y: int) -> None:
        r = self.r
        for half, value in (("Y", y), ("X", x)):
            self.spaces.set(r[f"MPS_CLS_TCAM_{half}_L"], value & U32_MASK, index)
            self.spaces.set(r[f"MPS_CLS_TCAM_{half}_H"], value >> 32, index)


class RequestedTcam(Model):
    """A T6's TCAM: a request in DATA2_CTL fetches an entry to the three words of its requester."""

    def make(self) -> None:
        if self.chip.mps.tcam_by_request:
            rows = 2 * self.chip.mps.tcam_entries
            self.table = self.spaces.table("mps_tcam", rows=rows, width=ENTRY_WORDS)

    def wire(self) -> None:
        if not self.chip.mps.tcam_by_request:
            return
        r, control = self.r, self.r.MPS_CLS_TCAM_DATA2_CTL
        entries = self.chip.mps.entries_per_tcam
        rows = [
            Index.field(control, "CtlTcamIndex", 2),
            Index.field(control, "CtlTcamSel", 2 * entries),
            Index.field(control, "CtlXYBitSel"),
        ]
        fixed = control.mask("CtlCmdType", "CtlReqID")
        for requester in (0, 1):
            request = When(fixed, control.of(CtlReqID=requester))
            data = r[f"MPS_CLS_TCAM_RDATA0_REQ_ID{requester}"]
            self.lookups.add(control, self.table, rows, data, width=ENTRY_WORDS, when=request)
        for index in range(self.chip.mps.tcam_entries):
            self._store(index, UNUSED, UNUSED)
        for mac in self.scenario.mac_table.entries:
            self._store(mac.index, *pattern(mac), mac.vni)

    def _store(self, index: int, x: int, y: int, vni: int | None = None) -> None:
        """Stores Y, then X; inside a tunnel, all bits of the VNI match in place of the VLAN's."""
        networks = (0, 0) if vni is None else (vni, ~vni & 0xFFFFFF)
        lookup = OUTER if vni is None else INNER
        for half, (address, network) in enumerate(zip((y, x), networks, strict=True)):
            self.table.fill(ENTRY_WORDS * (2 * index + half), self._words(address, network, lookup))

    def _words(self, address: int, network: int, lookup: int) -> tuple[int, int, int]:
        r = self.r
        high, low = divmod(network, 1 << 16)
        data1 = r.MPS_CLS_TCAM_RDATA1_REQ_ID1.of(VIDL=low, DMACH=address >> 32)
        data2 = r.MPS_CLS_TCAM_RDATA2_REQ_ID1.of(
            DataLkpType=lookup, DataVIDH2=high >> 7, DataVIDH1=high & 0x7F
        )
        return address & U32_MASK, data1, data2


class Classification(Model):
    """Which function receives packets that match an entry, and which virtual functions get copies.

    MPS_RPLC_MAP_CTL fetches the map of one entry. The driver's dump does not write it, so it reads
    the map that the firmware fetched last.
    """

    def make(self) -> None:
        rows = self.chip.mps.tcam_entries
        half = REPLICATION_WORDS // 2
        self.maps = [
            self.spaces.table(f"mps_replication_{i}", rows=rows, width=half) for i in (0, 1)
        ]

    def wire(self) -> None:
        for mac in self.scenario.mac_table.entries:
            self.spaces.set(self.r.MPS_CLS_SRAM_L, self._action(mac), mac.index)
            ports = self.r.MPS_CLS_SRAM_H.of(PortMap=mac.ports)
            self.spaces.set(self.r.MPS_CLS_SRAM_H, ports, mac.index)
            self._replicate(mac)
        self._connect()

    def _action(self, mac: Mac) -> int:
        priorities = {f"Priority{i}": 0 for i in PRIORITIES}
        return self.r.MPS_CLS_SRAM_L.of(
            Valid=1,
            PF=mac.pf,
            VF_Valid=int(mac.vf is not None),
            VF=mac.vf or 0,
            Replicate=int(bool(mac.vfs)),
            **priorities,
        )

    def _replicate(self, mac: Mac) -> None:
        bits = sum(1 << vf for vf in mac.vfs)
        words = [bits >> 32 * i & U32_MASK for i in range(REPLICATION_WORDS)]
        half = REPLICATION_WORDS // 2
        for table, part in zip(self.maps, (words[:half], words[half:]), strict=True):
            table.fill(half * mac.index, part)

    def _connect(self) -> None:
        control = self.r.MPS_RPLC_MAP_CTL
        entry = Index(control, self.chip.mps.tcam_entries - 1)
        read = When.set(control, "RD_WRN")
        last = max((mac.index for mac in self.scenario.mac_table.entries if mac.vfs), default=0)
        self.spaces.set(control, control.of(RD_WRN=1, ADDR=last))
        for table, data in zip(self.maps, self._registers(), strict=False):
            half = REPLICATION_WORDS // 2
            self.lookups.add(control, table, entry, data, width=half, when=read)
            space, first = self.spaces.where(data)
            space.fill(first, table.words[half * last : half * (last + 1)])

    def _registers(self) -> list[Register]:
        """Returns the first of each group of four map registers; T5 has one group."""
        names = ("MPS_VF_RPLCT_MAP0", "MPS_VF_RPLCT_MAP4")
        return [self.r[name] for name in names if name in self.r]


class PortStatistics(Model):
    """The number of ports, their buffer pages, pause addresses and counters."""

    def wire(self) -> None:
        count = self.scenario.profile.ports.count
        register = self.r.MPS_CMN_CTL
        self.spaces.plain(register, register.of(NumPorts=(count - 1).bit_length()))
        for pages in (self.chip.memory.port_pages, self.chip.memory.loopback_pages):
            self._pages(pages)
        for port, traffic in enumerate(self.scenario.traffic.ports):
            self._addresses(port)
            self._connect(port)
            for name, value in _counters(traffic):
                self._count(name, port, value)

    @fault(
        "mps-page-count-wrong",
        "MPS reports more buffer pages in use by its first port or group than there are: MEMINFO.",
        reports=True,
    )
    def miscount(self) -> None:
        pages = self.chip.memory.port_pages
        self.spaces.put(self.r[pages.register], **{pages.used: PAGES + 1})

    def _pages(self, pages: PageCounts) -> None:
        random = self.scenario.activity(pages.register)
        register = self.r[pages.register]
        space, first = self.spaces.where(register)
        for group in range(pages.words):
            used = {pages.used: random.randrange(PAGES // 8), pages.allocated: PAGES}
            space.words[first + group] = register.of(**used)

    def _addresses(self, port: int) -> None:
        """Sets the source address of the pause frames that a port sends."""
        mac = int.from_bytes(self.scenario.identity.mac(port), "big")
        self.spaces.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_L, mac & U32_MASK, port)
        self.spaces.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_H, mac >> 32, port)

    def _connect(self, port: int) -> None:
        """Shows the packet engine where it counts a port's frames."""
        entry = self.core.engine.c.ports[port]
        for field, direction in (("sent", "TX"), ("received", "RX"), ("looped", "LB")):
            space, index = self.spaces.where(
                self.r[f"MPS_PORT_STAT_{direction}_PORT_BYTES_L"], port
            )
            setattr(entry, field, space.pointer(index))

    def _count(self, name: str, port: int, value: int) -> None:
        """Sets a 64-bit counter, which occupies two registers."""
        self.spaces.set(self.r[f"MPS_PORT_STAT_{name}_L"], value & U32_MASK, port)
        self.spaces.set(self.r[f"MPS_PORT_STAT_{name}_H"], value >> 32, port)


def _counters(traffic: PortTraffic) -> Iterator[tuple[str, int]]:
    yield from _frames("TX_PORT", traffic.sent)
    yield "TX_PORT_ERROR", traffic.sent.errors
    yield "TX_PORT_DROP", traffic.sent.drops
    yield from _frames("RX_PORT", traffic.received)
    yield "RX_PORT_CRC_ERROR", traffic.received.errors


def _frames(prefix: str, way: Direction) -> Iterator[tuple[str, int]]:
    yield f"{prefix}_BYTES", way.octets
    yield f"{prefix}_FRAMES", way.frames
    yield f"{prefix}_BCAST", way.broadcast
    yield f"{prefix}_MCAST", way.multicast
    yield f"{prefix}_UCAST", way.unicast
    yield f"{prefix}_PAUSE", way.pauses
    for size, count in zip(SIZE_CLASSES, way.by_size, strict=True):
        yield f"{prefix}_{size}", count
