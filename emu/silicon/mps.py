"""MPS, the packet switch: its TCAM of MAC addresses, and the buffers and counters of its ports."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Register
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import PageCounts
from vmcoredd.chip.pci import PFS
from vmcoredd.emu.classifier import ENTRY_WORDS, HALF_MAP, Classifier
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.scenario.traffic import Direction, PortTraffic
from vmcoredd.emu.silicon.model import Model, fault

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


class Tcam(Model):
    """MAC addresses. A T5 has them in registers, which hold 64 bits of Y and of X for each entry. A
    request in a T6's DATA2_CTL fetches a pattern to the three words of its requester."""

    def make(self) -> None:
        self.by_request = self.chip.mps.tcam_by_request
        if self.by_request:
            rows = 2 * self.chip.mps.tcam_entries
            self.table = self.spaces.table("mps_tcam", rows=rows, width=ENTRY_WORDS)

    def wire(self) -> None:
        if self.by_request:
            self._answer_requests()
        classifier = Classifier(self.spaces)
        for index in range(self.chip.mps.tcam_entries):
            classifier.clear(index)
        for mac in self.scenario.mac_table.entries:
            classifier.store(mac)

    def _answer_requests(self) -> None:
        """Binds requests. Requester 0 finds its words where they would be written, too: debugfs
        reads them there (cxgb4_debugfs.c, mps_tcam_show(); assumed)."""
        r, control = self.r, self.r.MPS_CLS_TCAM_DATA2_CTL
        entries = self.chip.mps.entries_per_tcam
        rows = [
            Index.field(control, "CtlTcamIndex", 2),
            Index.field(control, "CtlTcamSel", 2 * entries),
            Index.field(control, "CtlXYBitSel"),
        ]
        fixed = control.mask("CtlCmdType", "CtlReqID")
        places = ((0, "RDATA0_REQ_ID0"), (1, "RDATA0_REQ_ID1"), (0, "DATA0"))  # control is in DATA
        for requester, name in places:
            request = When(fixed, control.of(CtlReqID=requester))
            data = r[f"MPS_CLS_TCAM_{name}"]
            self.lookups.add(control, self.table, rows, data, width=ENTRY_WORDS, when=request)


class ReplicationMaps(Model):
    """Which virtual functions get copies of packets that match an entry.

    MPS_RPLC_MAP_CTL fetches the map of one entry. The driver's dump does not write it, so it reads
    the map that the firmware fetched last.
    """

    def make(self) -> None:
        rows = self.chip.mps.tcam_entries
        self.maps = [
            self.spaces.table(f"mps_replication_{i}", rows=rows, width=HALF_MAP) for i in (0, 1)
        ]

    def wire(self) -> None:
        control = self.r.MPS_RPLC_MAP_CTL
        entry = Index(control, self.chip.mps.tcam_entries - 1)
        read = When.set(control, "RD_WRN")
        last = max((mac.index for mac in self.scenario.mac_table.entries if mac.vfs), default=0)
        self.spaces.set(control, control.of(RD_WRN=1, ADDR=last))
        for table, data in zip(self.maps, self._registers(), strict=False):
            self.lookups.add(control, table, entry, data, width=HALF_MAP, when=read)
            space, first = self.spaces.where(data)
            space.fill(first, table.words[HALF_MAP * last : HALF_MAP * (last + 1)])

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
        for pf in range(PFS):
            space, index = self.spaces.where(self.r.MPS_PF_STAT_TX_PF_BCAST_BYTES_L, pf)
            self.core.engine.c.functions[pf] = space.pointer(index)

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
        """Sets the source address of the pause frames that a port sends, and shows it the packet
        engine."""
        space, index = self.spaces.where(self.r.MPS_PORT_TX_PAUSE_SOURCE_L, port)
        self.core.engine.c.ports[port].pause_source = space.pointer(index)
        mac = int.from_bytes(self.scenario.identity.mac(port), "big")
        self.spaces.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_L, mac & U32_MASK, port)
        self.spaces.set(self.r.MPS_PORT_TX_PAUSE_SOURCE_H, mac >> 32, port)

    def _connect(self, port: int) -> None:
        """Shows the packet engine where it counts a port's frames."""
        entry = self.core.engine.c.ports[port]
        groups = self.chip.mps.buffer_groups[self.scenario.profile.ports.count][port]
        group = (groups & -groups).bit_length() - 1
        for field, name, element in (
            ("sent", "MPS_PORT_STAT_TX_PORT_BYTES_L", port),
            ("received", "MPS_PORT_STAT_RX_PORT_BYTES_L", port),
            ("looped", "MPS_PORT_STAT_LB_PORT_BYTES_L", port),
            ("dropped", f"MPS_STAT_RX_BG_{group}_MAC_DROP_FRAME_L", 0),
            ("dropped_loopback", f"MPS_STAT_RX_BG_{group}_LB_DROP_FRAME_L", 0),
        ):
            space, index = self.spaces.where(self.r[name], element)
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
