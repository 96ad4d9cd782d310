"""Filters of a whole card: what a driver learns of the filter mode, what a dump and a memory window
show, and what takes filters away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from busy_card import Driver
from carddump import CARDS, collect
from emumail import Mailbox
from filters import exactly, filter_request
from frames import UDP, ethernet, ipv4, udp
from txdriver import DESCRIPTOR, padded

from vmcoredd.chip import T5, T6, Chip, tcb
from vmcoredd.chip.firmware import Bye, Dev, Hello, PortStats, Reset
from vmcoredd.chip.firmware.params import FilterSub
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.le import DEFAULT_FILTER_MODE, ETHERTYPE_FILTER_MODE, filter_mode
from vmcoredd.chip.memory import MEMWIN0
from vmcoredd.chip.message_layouts import Filter, FilterNat, SetTcbRpl
from vmcoredd.chip.messages import FilterResult, NatMode
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card, Scene
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.scenario import commands
from vmcoredd.emu.scenario.queues import Egress

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ENTRIES = 512
REQUEST = -(-(sizeof(Filter) + sizeof(FilterNat)) // DESCRIPTOR)
"""Descriptors of a request."""
FRAME = ethernet(ipv4(udp(bytes(40), ports=(1000, 7)), UDP), 0x0800, to=b"\xff" * 6)
PORT_7 = exactly(ethtype=0x0800, ptcl=UDP, lp=7, port=0)
ADDED, DELETED, EINVAL = FilterResult.FLT_ADDED, FilterResult.FLT_DELETED, FilterResult.EINVAL


class Filterer(Driver):
    """A driver with a receive queue on port 0, and a control queue, through firmware."""

    def __init__(self, chip: Chip, **tables: Any) -> None:
        super().__init__(CARDS[chip], memory={}, tables=tables)
        self.mail.do(Hello(mbmaster=PF))  # which frees what a driver had
        self.interfaces.clear()
        self.up(0, 1)
        self.receiving = self.receiver(0, units=8)
        self.receive_all(0, SimpleNamespace(number=self.receiving.iqid))  # type: ignore[arg-type]
        self.ring = self.host.allocate((ENTRIES + 1) * DESCRIPTOR)
        asked = commands.eq(chip, Egress(0, 0, ENTRIES, self.ring, 0, 0, control=True))
        self.control, self.posted, self.answered = int(self.mail.do(asked).eqid), 0, 0
        regions = self.card.scenario.tid_table.regions
        self.first, self.urgent = regions.filters, range(regions.active)

    def ask(self, tid: int, **asked: Any) -> FilterResult:
        """Sets a filter; returns what the reply says, which comes to the receive queue."""
        wanted = filter_request(tid, replies_to=self.receiving.iqid, **asked)
        self.host.put(self.ring + self.posted * DESCRIPTOR, padded(wanted, DESCRIPTOR))
        lib.engine_kdoorbell(self.c, self.control << 15 | REQUEST)
        self.posted += REQUEST
        self.engine.run()
        entry = self.c.ingress[self.receiving.iqid].address + 64 * self.answered
        reply = SetTcbRpl.from_bytes(self.host.get(entry + 8, sizeof(SetTcbRpl)))
        self.answered += 1
        assert reply.tid == tid
        return FilterResult(reply.cookie)

    def arrives(self) -> bool:
        """Sends the frame to port 0; returns whether it comes to the queue."""
        before = self.c.counts.frames_received
        self.send(1, FRAME)
        got = int(self.c.counts.frames_received - before)
        self.answered += got
        return bool(got)

    def shown(self) -> dict[int, dict[str, Any]]:
        """The filters in a dump, by TID."""
        found = collect(self.card, entities=("LE_TCAM", "TP_INDIRECT"))
        rows = found.table("LE_TCAM", "entries in use")
        return {row["TID"]: row for row in rows if "filter" in row["region"]}

    def counters(self, tid: int) -> tuple[int, int]:
        """Packets and bytes, as get_filter_count() reads them."""
        r, read = self.card.chip.r, self.card.bar_read
        address = self.card.read(r.TP_CMM_TCB_BASE) + tid * tcb.BYTES
        inside = address % MEMWIN0.aperture
        self.card.write(r.PCIE_MEM_ACCESS_OFFSET, address - inside | PF)
        octets = read(0, MEMWIN0.base + inside + 16, 8)
        return (
            int.from_bytes(read(0, MEMWIN0.base + inside + 24, 4), "big"),
            int.from_bytes(octets, "big"),
        )


@CHIPS
@pytest.mark.parametrize(
    ("scene", "mode"),
    [(Scene.FRESH, ETHERTYPE_FILTER_MODE), (Scene.CRASHED, DEFAULT_FILTER_MODE)],
)
def test_firmware_tells_the_scenes_filter_mode(chip: Chip, scene: Scene, mode: int) -> None:
    card = Card.load(CARDS[chip], scene=scene)
    assert card.core.spaces.get(card.chip.r.TP_VLAN_PRI_MAP) == mode
    assert Mailbox(card).parameter(Dev.FILTER, FilterSub.MODE_MASK) == mode << 16 | mode


@CHIPS
@pytest.mark.parametrize("scene", Scene.chosen())
@pytest.mark.parametrize("fields", [["ethertype", "vlan", "port"], ["vnic_id", "protocol"]])
def test_a_profile_chooses_the_filter_mode_before_and_after_a_reset(
    chip: Chip, scene: Scene, fields: list[str]
) -> None:
    card = Card.load(CARDS[chip], scene=scene, tables={"filter_mode": fields})
    mode, mail, r = filter_mode(*fields), Mailbox(card), card.chip.r
    for step in (Hello(mbmaster=PF), Reset(val=3)):
        assert card.core.spaces.get(r.TP_VLAN_PRI_MAP) == mode
        assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == mode << 16 | mode
        ingress = card.core.spaces.get(r.TP_INGRESS_CONFIG)
        assert r.TP_INGRESS_CONFIG.get(ingress, "VNIC") == ("vnic_id" in fields)
        assert [bool(place.width) for place in card.engine.c.tuple] == selected(mode)
        mail.do(step)


@CHIPS
def test_a_dump_of_a_crashed_card_has_tuples_of_the_chosen_mode(chip: Chip) -> None:
    fields = ["port", "protocol", "vnic_id"]
    card = Card.load(CARDS[chip], tables={"filter_mode": fields})
    found = collect(card, entities=("LE_TCAM", "TP_INDIRECT"))
    rows = {row["TID"]: row for row in found.table("LE_TCAM", "entries in use")}
    for item in card.scenario.tid_table.filters:
        port = f"port={item.port:#x} " if item.port else ""
        assert rows[item.tid]["fields"] == f"{port}protocol=0x6"


@CHIPS
def test_a_dump_names_the_interface_that_a_filter_matches(chip: Chip) -> None:
    driver = Filterer(chip, filter_mode=["port", "vnic_id", "ethertype"])
    number = driver.interfaces[0] & 0x7F
    asked = {"ovlan": PF << 13 | number, "ovlanm": 0xFFFF, "ovlan_vld": 1, "ovlan_vldm": 1}
    assert driver.arrives()
    assert driver.ask(driver.first, drop=1, **asked) == ADDED
    assert not driver.arrives()
    (row,) = driver.shown().values()
    assert row["fields"] == f"vnic_id={0x18000 | number:#x} (PF{PF}, interface {number})"
    assert driver.ask(driver.first, del_filter=1) == DELETED
    assert driver.ask(driver.first, drop=1, **{**asked, "ovlan": asked["ovlan"] + 1}) == ADDED
    assert driver.arrives()


@CHIPS
def test_after_a_reset_of_a_crashed_card_its_filter_mode_is_firmwares_own(chip: Chip) -> None:
    card = Card.load(CARDS[chip])
    before, mail = card.snapshot(), Mailbox(card)
    mail.do(Hello(mbmaster=PF))
    mail.do(Reset(val=3))
    mode = ETHERTYPE_FILTER_MODE
    assert mail.parameter(Dev.FILTER, FilterSub.MODE_MASK) == mode << 16 | mode
    assert [bool(place.width) for place in card.engine.c.tuple] == selected(mode)
    card.restore(before)
    assert [bool(place.width) for place in card.engine.c.tuple] == selected(DEFAULT_FILTER_MODE)


def selected(mode: int) -> list[bool]:
    """Whether a filter mode has each field."""
    return [bool(mode >> bit & 1) for bit in range(lib.FILTER_FIELDS)]


@CHIPS
def test_a_dump_shows_a_filter_and_a_window_its_hits(chip: Chip) -> None:
    driver = Filterer(chip)
    tid = driver.first + 4
    assert driver.arrives()
    assert driver.ask(tid, drop=1, hitcnts=1, **PORT_7) == ADDED
    assert [driver.arrives() for _ in range(3)] == [False] * 3
    assert driver.counters(tid) == (3, 3 * len(FRAME))
    (row,) = driver.shown().values()
    assert (row["TID"], row["region"], row["local port"]) == (tid, "filter", 7)
    assert row["fields"] == "protocol=0x11 ethertype=0x800"
    assert driver.ask(tid, del_filter=1) == DELETED
    assert driver.shown() == {}
    assert driver.arrives()
    assert driver.counters(tid) == (0, 0)


def frames(driver: Filterer, port: int, *, sent: bool) -> int:
    """How many frames MPS has counted on a port, as firmware tells."""
    asked = PortStats(read=1, portid=port, tx=int(sent), ix=1, nstats=1)
    return int(driver.mail.do(asked).stat[0])


@CHIPS
def test_a_frame_that_a_filter_sends_out_again_is_counted_where_it_passes(chip: Chip) -> None:
    driver = Filterer(chip)
    asked = {"lpbk": 1, "txchan": 0, "hitcnts": 1, "insvlan": 1, "l2tix": 7, **PORT_7}
    nat = {"natmode": NatMode.DIP_DP, "newlip": "10.9.1.2", "newlport": 80}
    assert driver.ask(driver.first, nat=nat, **asked) == ADDED
    before = [frames(driver, port, sent=sent) for port in range(2) for sent in (False, True)]
    assert not driver.arrives()
    after = [frames(driver, port, sent=sent) for port in range(2) for sent in (False, True)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 1]
    assert driver.counters(driver.first) == (1, len(FRAME))
    region = driver.card.scenario.memory_map["TCBs"]
    block = driver.card.memories.read(region.base + driver.first * tcb.BYTES, tcb.BYTES)
    assert tcb.translation(block) == {"new_local": 0x0A090102, "new_local_port": 80}
    shown = collect(driver.card, entities=("MC0", "MEMINFO")).table("MC0", "TCBs by TID")
    (row,) = (row for row in shown if row["TID"] == driver.first)
    assert row["fields"]["new_local"] == 0x0A090102


@CHIPS
def test_a_reset_clears_the_tables_that_filters_use(chip: Chip) -> None:
    driver = Filterer(chip)
    driver.c.neighbours[7].tag, driver.c.source_macs[3][5] = 9, 1
    driver.mail.do(Reset(val=3))
    assert (driver.c.neighbours[7].tag, driver.c.source_macs[3][5]) == (0, 0)


def test_a_dump_of_a_t6_shows_filters_of_high_priority_and_of_ipv6() -> None:
    driver = Filterer(T6)
    addresses = {"lip": "fd00::2", "lipm": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
    assert driver.ask(driver.urgent[-2], rqtype=1, addresses=addresses, **exactly(lp=9)) == ADDED
    assert driver.ask(driver.first, **exactly(lp=8)) == ADDED
    found = {tid: (row["region"], row["local address"]) for tid, row in driver.shown().items()}
    assert found == {
        driver.urgent[-2]: ("high-priority filter", "fd00::2"),
        driver.first: ("filter", "0.0.0.0"),
    }


def test_a_t5_has_no_filters_of_high_priority() -> None:
    driver = Filterer(T5)
    assert not driver.urgent
    assert driver.ask(0, drop=1) == EINVAL


@CHIPS
@pytest.mark.parametrize("how", ["reset of the function", "BYE", "RESET", "HELLO"])
def test_what_frees_queues_frees_filters(chip: Chip, how: str) -> None:
    driver = Filterer(chip)
    assert driver.ask(driver.first, drop=1, **PORT_7) == ADDED
    assert driver.shown()
    if how == "reset of the function":
        driver.card.reset()
    else:
        command = {"BYE": Bye(), "RESET": Reset(val=3), "HELLO": Hello(mbmaster=PF)}[how]
        driver.mail.do(command)
    assert driver.shown() == {}
    assert not any(driver.c.filters_used)


@CHIPS
def test_a_snapshot_has_filters_with_their_hits(chip: Chip) -> None:
    driver = Filterer(chip)
    assert driver.ask(driver.first, drop=1, hitcnts=1, **PORT_7) == ADDED
    assert not driver.arrives()
    snapshot = driver.card.snapshot()
    driver.ask(driver.first, del_filter=1)
    driver.card.restore(snapshot)
    assert driver.counters(driver.first) == (1, len(FRAME))
    assert list(driver.shown()) == [driver.first]
    assert not driver.arrives()
