"""Work requests in the rings of egress queues, and how the driver hears that they are done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from frames import ethernet
from ramhost import BASE, SIZE
from rxdriver import Rig, RxDriver
from txdriver import MESSAGE, STATUS, Outlet, TxDriver, inline, listed, make, request, sgl, tx_pkt

from vmcoredd.chip.message_layouts import EgrUpdate, RssHeader, TxPktLso
from vmcoredd.chip.messages import Cpl


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host)


def frame(length: int, seed: int = 0) -> bytes:
    return ethernet(bytes((seed + n) % 256 for n in range(length - 14)))


def test_a_frame_in_its_work_request_leaves(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    driver.post(inline(frame(60)))
    rig.run()
    assert outlet.frames() == [frame(60)]
    assert rig.troubles == []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17])
def test_a_frame_is_gathered_from_the_hosts_memory(
    rig: Rig, outlet: Outlet, driver: TxDriver, count: int
) -> None:
    data = frame(1500)
    parts = [data[i::count] for i in range(count)]
    driver.post(listed(driver, parts))
    rig.run()
    assert outlet.frames() == [b"".join(parts)]


def test_a_work_request_wraps_in_any_of_its_parts(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    for round_ in range(3 * driver.entries):
        data = [frame(200 + round_, round_)[i::7] for i in range(7)]
        driver.post(listed(driver, data), inline(frame(190, round_)))
        rig.run()
        assert outlet.frames() == [b"".join(data), frame(190, round_)]


# Completions


def updates(rig: Rig, receiver: RxDriver) -> list[tuple[int, int, int]]:
    """Returns what CPL_SGE_EGR_UPDATEs say: queue, consumer index, producer index."""
    got = receiver.poll()
    receiver.gts(len(got))
    for each in got:
        assert RssHeader.from_bytes(each.cpl).opcode == Cpl.SGE_EGR_UPDATE
        assert RssHeader.from_bytes(each.cpl).qid == receiver.number
    messages = [EgrUpdate.from_bytes(each.cpl[8:]) for each in got]
    assert {each.opcode for each in messages} <= {Cpl.SGE_EGR_UPDATE}
    return [(each.qid, each.cidx, each.pidx) for each in messages]


def test_an_idle_queue_of_a_t6_writes_its_status_page(rig: Rig, driver: TxDriver) -> None:
    receiver = RxDriver(rig.host)
    driver.post(inline(frame(60)), inline(frame(200)))
    rig.run()
    assert driver.status == (driver.number, driver.pidx, driver.pidx)
    assert updates(rig, receiver) == []


def test_an_idle_queue_of_a_t5_sends_a_message_and_leaves_the_status_page_alone(rig: Rig) -> None:
    receiver = RxDriver(rig.host)
    driver = TxDriver(rig.host, flow=MESSAGE, auto_message=1, auto_status=0)
    driver.post(inline(frame(60)), inline(frame(200)))
    rig.run()
    assert updates(rig, receiver) == [(driver.number, driver.pidx, driver.pidx)]
    assert driver.status == (0, 0, 0)


@pytest.mark.parametrize("flow", [MESSAGE, STATUS, MESSAGE | STATUS])
@pytest.mark.parametrize("threshold", [0, 3, 5])
def test_a_busy_queue_tells_each_time_that_many_descriptors_are_done(
    rig: Rig, flow: int, threshold: int
) -> None:
    receiver = RxDriver(rig.host, entries=127)
    driver = TxDriver(
        rig.host, entries=128, flow=flow, threshold=threshold, auto_message=0, auto_status=0
    )
    driver.post(*[inline(frame(20))] * 60)
    rig.run()
    told = list(range(1 << threshold, 61, 1 << threshold))
    assert [cidx for _, cidx, _ in updates(rig, receiver)] == (told if flow & MESSAGE else [])
    assert driver.status[1] == (told[-1] if flow & STATUS else 0)


def test_a_work_request_may_ask_for_a_message_and_for_the_status_page(rig: Rig) -> None:
    receiver = RxDriver(rig.host)
    driver = TxDriver(rig.host, flow=0, auto_status=0)
    cpl = tx_pkt(60)
    asking = request(cpl + frame(60), immediate=len(cpl) + 60, equiq=1, equeq=1)
    driver.post(inline(frame(60)), asking, inline(frame(60)))
    rig.run()
    assert updates(rig, receiver) == [(driver.number, 4, 6)]
    assert driver.status == (driver.number, 4, 6)


def test_the_status_page_is_written_before_the_message_that_tells_of_it(rig: Rig) -> None:
    """On a T6 the driver looks at the page when the message comes: the message's index is not read,
    and a stopped queue that finds an old one stays stopped until a timer of half a second."""
    receiver = RxDriver(rig.host)
    driver = TxDriver(rig.host, flow=STATUS)
    seen: list[int] = []

    def look(address: int, data: bytes) -> None:
        if receiver.address <= address < receiver.address + receiver.entries * 64:
            seen.append(driver.status[1])

    rig.host.on_write = look
    cpl = tx_pkt(60)
    stopping = request(cpl + frame(60), immediate=len(cpl) + 60, equiq=1, equeq=1)
    driver.post(*[inline(frame(60))] * 5, stopping)
    rig.run()
    assert seen
    assert set(seen) == {driver.pidx}


def test_a_message_without_room_is_sent_later_and_holds_the_queue(rig: Rig, outlet: Outlet) -> None:
    receiver = RxDriver(rig.host, entries=3)
    driver = TxDriver(rig.host, flow=MESSAGE, threshold=0, auto_message=1, auto_status=0)
    driver.post(*[inline(frame(60, n)) for n in range(10)])
    rig.run()
    sent = outlet.frames()
    assert len(sent) == 3
    told = [cidx for _, cidx, _ in updates(rig, receiver)]
    assert told == [2, 4]
    while driver.cidx != driver.pidx or told[-1] != driver.pidx:
        rig.run()
        sent += outlet.frames()
        told += [cidx for _, cidx, _ in updates(rig, receiver)]
    assert sent == [frame(60, n) for n in range(10)]
    assert told == list(range(2, 21, 2))


def test_the_status_page_is_written_once_while_its_message_waits(rig: Rig, outlet: Outlet) -> None:
    receiver = RxDriver(rig.host, entries=3)
    driver = TxDriver(rig.host, flow=MESSAGE | STATUS, threshold=0)
    driver.post(*[inline(frame(60, n)) for n in range(4)])
    rig.run()
    assert (len(outlet.frames()), driver.status[1]) == (3, driver.cidx)
    before = rig.c.counts.dma_writes
    for _ in range(10):
        rig.run()
    assert rig.c.counts.dma_writes == before
    assert rig.c.egress[driver.number].held
    assert [cidx for _, cidx, _ in updates(rig, receiver)] == [2, 4]
    rig.run()
    assert driver.status[1] == driver.cidx == driver.pidx
    assert [cidx for _, cidx, _ in updates(rig, receiver)] == [6, 8]


def test_a_message_to_a_queue_that_is_gone_holds_nothing_up(rig: Rig, outlet: Outlet) -> None:
    driver = TxDriver(rig.host, ingress=500, flow=MESSAGE, auto_message=1)
    driver.post(inline(frame(60)))
    rig.run()
    assert outlet.frames() == [frame(60)]
    assert driver.cidx == driver.pidx


# Turns and holds


def test_a_held_frame_is_sent_once_when_there_is_room(rig: Rig) -> None:
    outlet, driver = Outlet(rig, room=1 << 13), TxDriver(rig.host)
    sent = [frame(1000, n) for n in range(30)]
    driver.post(*[listed(driver, [each]) for each in sent])
    got: list[bytes] = []
    held = 0
    while driver.cidx != driver.pidx:
        rig.run(1_000_000)
        held += rig.c.egress[driver.number].held
        got += outlet.frames()
    assert got == sent
    assert held


def test_a_work_request_of_which_a_part_is_posted_waits_for_the_rest(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    assert driver.write(inline(frame(200))) == 4
    for _ in range(3):
        driver.ring_doorbell(1)
        rig.run()
        assert not rig.c.pending
        assert outlet.frames() == []
    driver.ring_doorbell(1)
    rig.run()
    assert outlet.frames() == [frame(200)]


def test_queues_take_turns(rig: Rig, outlet: Outlet) -> None:
    drivers = [TxDriver(rig.host, number=n, entries=2047) for n in (3, 700, 1023)]
    for n, driver in enumerate(drivers):
        driver.post(*[inline(frame(20, n))] * 1000)
    runs, sent = 0, 0
    while any(driver.cidx != driver.pidx for driver in drivers):
        before = [driver.cidx for driver in drivers]
        rig.run()
        runs += 1
        done = [driver.cidx - was for driver, was in zip(drivers, before, strict=True)]
        assert all(0 < each <= 64 for each in done)
        sent += len(outlet.frames())
    assert (sent, runs) == (3000, 16)
    assert not rig.c.pending


def test_a_run_has_an_end_whatever_is_posted(rig: Rig, outlet: Outlet) -> None:
    drivers = [TxDriver(rig.host, number=n, entries=127) for n in range(100, 200)]
    for driver in drivers:
        driver.post(*[inline(frame(20))] * 100)
    runs, served = 0, set()
    while any(driver.cidx != driver.pidx for driver in drivers):
        assert rig.c.pending
        rig.run()
        runs += 1
        assert len(outlet.frames()) <= 512
        served |= {driver.number for driver in drivers if driver.cidx}
        assert len(served) >= min(100, 8 * runs)
    assert runs >= 100 * 100 // 512


def test_nothing_is_read_without_a_host_or_as_no_master_of_the_bus(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    driver.post(inline(frame(60)))
    rig.c.bus_master = 0
    rig.run()
    assert (rig.c.counts.dma_reads, outlet.frames(), rig.troubles) == (0, [], [])
    rig.engine.allow(bus_master=True, intx=False, msi=False, msix=True, msix_masked=False)
    rig.run()
    assert outlet.frames() == [frame(60)]


def test_a_halted_queue_does_nothing_until_it_is_started(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    rig.engine.halt_egress(driver.number, halted=True)
    driver.post(inline(frame(60)))
    rig.run()
    assert outlet.frames() == []
    rig.engine.halt_egress(driver.number, halted=False)
    rig.run()
    assert outlet.frames() == [frame(60)]


def test_a_queue_that_is_taken_away_is_not_read_again(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    driver.post(inline(frame(60)))
    rig.engine.stop_egress(driver.number)
    rig.run()
    assert (rig.c.counts.dma_reads, outlet.frames()) == (0, [])


# Nonsense


def eight(driver: TxDriver) -> bytes:
    """A list of eight elements; it has more bytes than the frame."""
    return driver.sgl([bytes(100)] * 8)


NONSENSE: dict[str, Callable[[TxDriver], bytes]] = {
    "no length": lambda driver: bytes(64),
    "an opcode of none": lambda driver: request(bytes(48), immediate=0, op=0xFF),
    "longer than the ring": lambda driver: request(bytes(48), immediate=0, len16=255),
    "no CPL": lambda driver: request(bytes(48), immediate=16),
    "no room for a CPL": lambda driver: request(b"", immediate=0, len16=1),
    "immediate data without a CPL": lambda driver: request(tx_pkt(60) + frame(20), immediate=10),
    "more immediate data than it has": lambda driver: request(tx_pkt(200), immediate=216),
    "a frame of 13 bytes": lambda driver: request(tx_pkt(13) + bytes(13), immediate=29),
    "no list": lambda driver: request(tx_pkt(600) + bytes(32), immediate=16),
    "a list of no elements": lambda driver: request(tx_pkt(60) + sgl([(60, 0)])[:1] + bytes(15),
                                                    immediate=16),
    "a list of more elements than there is room for": lambda driver: request(
        tx_pkt(800) + eight(driver)[:-16], immediate=16),
    "a list of 65535 elements": lambda driver: request(
        tx_pkt(600) + b"\x82\0\xff\xff" + eight(driver)[4:], immediate=16),
    "a list shorter than the frame": lambda driver: request(
        tx_pkt(801) + eight(driver), immediate=16),
    "a list of lengths of 0": lambda driver: request(
        tx_pkt(60) + sgl([(0, 0)] * 20), immediate=16),
    "a segmented packet without its CPL": lambda driver: request(
        make(TxPktLso, opcode=Cpl.TX_PKT_LSO, mss=1), immediate=16, len16=2),
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_halts_its_queue_and_no_other(
    rig: Rig, outlet: Outlet, driver: TxDriver, name: str
) -> None:
    other = TxDriver(rig.host, number=81)
    driver.post(NONSENSE[name](driver))
    other.post(inline(frame(60)))
    rig.run()
    assert [(each.kind.name, each.queue) for each in rig.troubles] == [("WORK_REQUEST", 80)]
    assert driver.halted
    assert driver.cidx == 0
    assert outlet.frames() == [frame(60)]
    rig.run()
    assert not rig.c.pending


def test_a_ring_full_of_nonsense_costs_one_look(rig: Rig, driver: TxDriver) -> None:
    driver.ring_doorbell(driver.entries - 1)
    for _ in range(3):
        rig.run()
    assert rig.c.counts.dma_reads == 1
    assert len(rig.troubles) == 1


@pytest.mark.parametrize("what", ["ring", "data", "status"])
def test_memory_that_the_host_does_not_have_halts_the_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver, what: str
) -> None:
    cpl = tx_pkt(60)
    bad = request(cpl + sgl([(60, BASE + SIZE - 59)]), immediate=len(cpl))
    driver.post(bad if what == "data" else inline(frame(60)))
    if what != "data":
        place = {"ring": BASE + SIZE, "status": BASE + SIZE - 64 * driver.entries}[what]
        if what == "status":
            rig.host.put(place, inline(frame(60)))
        rig.c.egress[driver.number].address = place
    rig.run()
    kind = "DMA_WRITE" if what == "status" else "DMA_READ"
    assert [each.kind.name for each in rig.troubles] == [kind]
    assert driver.halted
    assert len(outlet.frames()) == (what == "status")
