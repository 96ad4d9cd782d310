"""MPS: the TCAM of MAC addresses, what each entry does, and the replication maps."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.mps import REPLICATION_WORDS
from vmcoredd.emu.ports import Index, When
from vmcoredd.emu.scenario.addresses import Mac
from vmcoredd.emu.silicon.model import Model

ADDRESS = (1 << 48) - 1
UNUSED = ADDRESS
"""X and Y of an entry that can match nothing."""
OUTER, INNER = 0, 1
PRIORITIES = range(4)
ANSWER_WORDS = 3


def pattern(mac: Mac) -> tuple[int, int]:
    """X and Y that match an address exactly: the bits that must be 0, and those that must be 1."""
    y = int.from_bytes(mac.address, "big")
    return ~y & ADDRESS, y


class MappedTcam(Model):
    """A T5's: 64 bits of Y and of X for each entry, plain memory."""

    def wire(self) -> None:
        if self.chip.mps.tcam_by_request:
            return
        for index in range(self.chip.mps_tcam_entries):
            self._put(index, UNUSED, UNUSED)
        for mac in self.scenario.mac_table.entries:
            self._put(mac.index, *pattern(mac))

    def _put(self, index: int, x: int, y: int) -> None:
        r = self.r
        for half, value in (("Y", y), ("X", x)):
            self.words.set(r[f"MPS_CLS_TCAM_{half}_L"], value & 0xFFFFFFFF, index)
            self.words.set(r[f"MPS_CLS_TCAM_{half}_H"], value >> 32, index)


class RequestedTcam(Model):
    """A T6's: a request in DATA2_CTL, answered in the three words of the requester it names."""

    def make(self) -> None:
        if self.chip.mps.tcam_by_request:
            rows = 2 * self.chip.mps_tcam_entries
            self.table = self.words.table("mps_tcam", rows=rows, width=ANSWER_WORDS)

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
        kept = control.mask("CtlCmdType", "CtlReqID")
        for requester in (0, 1):
            asked = When(kept, control.of(CtlReqID=requester))
            answer = r[f"MPS_CLS_TCAM_RDATA0_REQ_ID{requester}"]
            self.ports.add(control, self.table, rows, answer, width=ANSWER_WORDS, when=asked)
        for index in range(self.chip.mps_tcam_entries):
            self._put(index, UNUSED, UNUSED)
        for mac in self.scenario.mac_table.entries:
            self._put(mac.index, *pattern(mac), mac.vni)

    def _put(self, index: int, x: int, y: int, vni: int | None = None) -> None:
        """Y, then X. Inside a tunnel, the network stands where a VLAN would, and counts in full."""
        networks = (0, 0) if vni is None else (vni, ~vni & 0xFFFFFF)
        lookup = OUTER if vni is None else INNER
        for half, (address, network) in enumerate(zip((y, x), networks, strict=True)):
            self.table.fill(
                ANSWER_WORDS * (2 * index + half), self._answer(address, network, lookup)
            )

    def _answer(self, address: int, network: int, lookup: int) -> tuple[int, int, int]:
        r = self.r
        high, low = divmod(network, 1 << 16)
        data1 = r.MPS_CLS_TCAM_RDATA1_REQ_ID1.of(VIDL=low, DMACH=address >> 32)
        data2 = r.MPS_CLS_TCAM_RDATA2_REQ_ID1.of(
            DataLkpType=lookup, DataVIDH2=high >> 7, DataVIDH1=high & 0x7F
        )
        return address & 0xFFFFFFFF, data1, data2


class Classification(Model):
    """What happens to packets that match an entry, and which virtual functions get copies.

    MPS_RPLC_MAP_CTL asks for the map of one entry. The driver's dump does not ask: it sees the one
    that the firmware asked for last.
    """

    def make(self) -> None:
        rows = self.chip.mps_tcam_entries
        half = REPLICATION_WORDS // 2
        self.maps = [
            self.words.table(f"mps_replication_{i}", rows=rows, width=half) for i in (0, 1)
        ]

    def wire(self) -> None:
        for mac in self.scenario.mac_table.entries:
            self.words.set(self.r.MPS_CLS_SRAM_L, self._action(mac), mac.index)
            ports = self.r.MPS_CLS_SRAM_H.of(PortMap=mac.ports)
            self.words.set(self.r.MPS_CLS_SRAM_H, ports, mac.index)
            self._replicate(mac)
        self._ports()

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
        words = [bits >> 32 * i & 0xFFFFFFFF for i in range(REPLICATION_WORDS)]
        half = REPLICATION_WORDS // 2
        for table, part in zip(self.maps, (words[:half], words[half:]), strict=True):
            table.fill(half * mac.index, part)

    def _ports(self) -> None:
        control = self.r.MPS_RPLC_MAP_CTL
        entry = Index(control, self.chip.mps_tcam_entries - 1)
        asked = When.set(control, "RD_WRN")
        last = max(mac.index for mac in self.scenario.mac_table.entries if mac.vfs)
        self.words.set(control, control.of(RD_WRN=1, ADDR=last))
        for table, data in zip(self.maps, self._registers(), strict=False):
            half = REPLICATION_WORDS // 2
            self.ports.add(control, table, entry, data, width=half, when=asked)
            space, first = self.words.where(data)
            space.fill(first, table.words[half * last : half * (last + 1)])

    def _registers(self) -> list[Register]:
        """The first of each row of four map registers that the chip has."""
        names = ("MPS_VF_RPLCT_MAP0", "MPS_VF_RPLCT_MAP4")
        return [self.r[name] for name in names if name in self.r]
