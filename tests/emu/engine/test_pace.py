"""Rates of traffic classes and ports: when frames leave."""

from __future__ import annotations

import pytest
from frames import ethernet
from rxdriver import Rig
from txdriver import Outlet, TxDriver, listed, lso

from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine import NO_CLASS, EgressKind
from vmcoredd.emu.engine.tables import load, save

MS = 1_000_000
BURST, STEP = 10 * MS, 1 * MS
"""What an idle class may send at once, and how late a queue that waits may be tried again."""
FRAME = ethernet(bytes(236))
"""250 bytes: 20 us at 100 Mbit/s."""
LENGTH_NS = 20_000
RATE = 100_000


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


def limited(rig: Rig, number: int = 80, traffic_class: int = 3, entries: int = 4095) -> TxDriver:
    """A queue of that class."""
    driver = TxDriver(rig.host, number=number, entries=entries)
    rig.engine.set_class(driver.number, traffic_class)
    return driver


def post(driver: TxDriver, count: int, frame: bytes = FRAME) -> None:
    driver.post(*[listed(driver, [frame])] * count)


def until_idle(rig: Rig, outlet: Outlet, step: int = 0) -> list[tuple[int, int]]:
    """Lets time pass in steps, or to when the engine's timer ends, until all is sent; returns when
    how many frames left."""
    sent: list[tuple[int, int]] = []
    began = rig.now
    busy = [queue for queue in rig.c.egress if queue.cidx != queue.pidx]
    for _ in range(100_000):
        rig.run()
        while rig.c.pending:
            rig.run()
        sent.append((rig.now - began, len(outlet.frames())))
        busy = [queue for queue in busy if queue.cidx != queue.pidx]
        if not busy:
            return [each for each in sent if each[1]]
        rig.now = rig.now + step if step else rig.c.retry
    raise AssertionError("the queues never become idle")


@pytest.fixture(autouse=True)
def late(rig: Rig) -> None:
    """The clock of a machine that has run for a while."""
    rig.now += 1000 * MS


@pytest.mark.parametrize("kbps", [1000, 100_000, 200_000])
def test_frames_take_the_time_that_their_bytes_do(rig: Rig, outlet: Outlet, kbps: int) -> None:
    """With what the class may send at once, it is as if it had begun so much earlier."""
    driver = limited(rig)
    rig.engine.limit(0, 3, kbps)
    each = len(FRAME) * 8 * MS // kbps
    at_once = BURST // each + 1
    count = at_once + 100
    post(driver, count)
    sent = until_idle(rig, outlet, each // 10)
    assert sent[0] == (0, at_once)
    assert sum(frames for _, frames in sent) == count
    last = (count - 1) * each - BURST
    assert last <= sent[-1][0] < last + each // 10


def test_no_interval_has_more_than_the_rate_and_a_burst(rig: Rig, outlet: Outlet) -> None:
    driver = limited(rig)
    rig.engine.limit(0, 3, RATE)
    post(driver, 2500)
    sent = until_idle(rig, outlet, 130_000)
    for first in range(0, len(sent), 7):
        for last in range(first, len(sent), 11):
            frames = sum(number for _, number in sent[first : last + 1])
            elapsed = sent[last][0] - sent[first][0]
            assert frames * LENGTH_NS <= elapsed + BURST + LENGTH_NS


def test_who_comes_late_catches_up(rig: Rig, outlet: Outlet) -> None:
    """A step of 8 ms is longer than a frame's time by far, and costs nothing of the rate."""
    driver = limited(rig)
    rig.engine.limit(0, 3, RATE)
    post(driver, 2500)
    sent = until_idle(rig, outlet, 8 * MS)
    assert sum(frames for _, frames in sent) == 2500
    assert sent[-1][0] <= 2500 * LENGTH_NS - BURST + 8 * MS


def test_segments_are_frames_of_their_own(rig: Rig, outlet: Outlet) -> None:
    """A packet of 60 KB at 8 Mbit/s: 10 ms of it leave at once, the rest in its time."""
    driver = limited(rig)
    rig.engine.limit(0, 3, 8000)
    head = ethernet(b"\x45" + bytes(5) + b"\0\0@\6" + bytes(10) + bytes(12) + b"\x50" + bytes(7))
    packet = head + bytes(60_000)
    driver.post(lso(driver, [packet], mss=1000, ip=20))
    sent = until_idle(rig, outlet, MS // 10)
    assert sum(frames for _, frames in sent) == 60
    assert sent[0] == (0, 10)
    assert sent[-1][0] == pytest.approx(59 * 1054 * 1000 - BURST, abs=MS // 10)


def test_queues_share_the_rate_of_their_class(rig: Rig, outlet: Outlet) -> None:
    drivers = [limited(rig, number=80 + n, entries=2047) for n in range(4)]
    rig.engine.limit(0, 3, RATE)
    for driver in drivers:
        post(driver, 500)
    while sum(driver.cidx for driver in drivers) < 800:
        rig.run(MS)
    cidxs = [driver.cidx for driver in drivers]
    assert max(cidxs) - min(cidxs) <= 4 * 128
    sent = len(outlet.frames()) + sum(frames for _, frames in until_idle(rig, outlet, MS))
    assert sent == 2000
    assert rig.now - 1001 * MS >= 2000 * LENGTH_NS - BURST - MS


def test_classes_queues_without_one_and_ports_do_not_slow_each_other(rig: Rig) -> None:
    outlet, other = Outlet(rig), Outlet(rig, port=1)
    slow, fast, free = (limited(rig, 80 + n, n, entries=511) for n in range(3))
    rig.engine.limit(0, 0, 8)
    rig.engine.limit(0, 1, 100_000)
    rig.engine.limit(1, 0, 100_000)
    same = limited(rig, 90, 0, entries=511)
    rig.c.egress[90].port = 1
    for driver in (slow, fast, free):
        post(driver, 80)
    same.post(*[listed(same, [FRAME], intf=1)] * 80)
    for _ in range(10):
        rig.run()
    assert len(other.frames()) == 80
    assert len(outlet.frames()) == 161
    assert (slow.cidx, fast.cidx, free.cidx) == (1, 80, 80)


def test_a_ports_rate_holds_for_all_its_queues_and_classes(rig: Rig, outlet: Outlet) -> None:
    plain, quick = TxDriver(rig.host, number=81, entries=2047), limited(rig)
    rig.engine.limit(0, NO_CLASS, RATE)
    rig.engine.limit(0, 3, 10 * RATE)
    post(plain, 400)
    post(quick, 400)
    began = rig.now
    sent = until_idle(rig, outlet, MS // 10)
    assert sum(frames for _, frames in sent) == 800
    assert rig.now - began == pytest.approx(799 * LENGTH_NS - BURST, abs=MS // 10)


@pytest.mark.parametrize("how", ["no rate", "a higher rate", "no class", "another class"])
def test_a_queue_that_waits_goes_on_when_its_rate_does_not_hold_it(
    rig: Rig, outlet: Outlet, how: str
) -> None:
    driver = limited(rig)
    rig.engine.limit(0, 3, 1)
    post(driver, 100)
    rig.run()
    rig.run(10 * MS)
    assert len(outlet.frames()) == 1
    assert not rig.c.pending
    if how == "no class":
        rig.engine.set_class(driver.number, NO_CLASS)
    elif how == "another class":
        rig.engine.set_class(driver.number, 4)
    else:
        rig.engine.limit(0, 3, 0 if how == "no rate" else 10_000_000)
    assert rig.c.pending
    rig.run()
    rig.run()
    assert len(outlet.frames()) == 99


def test_a_queue_that_waits_costs_nothing_but_a_look_in_its_time(rig: Rig, outlet: Outlet) -> None:
    """Its ring is not read, no run follows, and the timer is set to the next step."""
    driver = limited(rig)
    rig.engine.limit(0, 3, 1000)
    post(driver, 100)
    rig.run()
    assert not rig.c.pending
    due = rig.c.egress[driver.number].due
    assert rig.now < due <= rig.now + 2 * MS
    assert rig.c.retry == due + STEP
    reads = rig.c.counts.dma_reads
    rig.run(due - rig.now - 1)
    assert rig.c.counts.dma_reads == reads
    assert (rig.c.retry, rig.c.pending) == (due + STEP, 0)
    outlet.frames()
    rig.run(1)
    assert len(outlet.frames()) == 1


def test_the_timer_tries_all_queues_whose_time_has_come(rig: Rig, outlet: Outlet) -> None:
    """More of them than one run looks at, in classes of all rates."""
    drivers = [limited(rig, n, n % 16, entries=15) for n in range(100, 1000)]
    for number in range(16):
        rig.engine.limit(0, number, 500 + number)
    for driver in drivers:
        post(driver, 2)
    sent = until_idle(rig, outlet)
    assert sum(frames for _, frames in sent) == 1800
    assert sent[-1][0] <= (57 * 2) * 4 * MS + 2 * STEP


def test_a_free_class_and_the_most_of_all_rates_hold_nothing_up(rig: Rig, outlet: Outlet) -> None:
    driver = limited(rig)
    rig.engine.limit(0, 3, 0xFFFF_FFFF)
    post(driver, 500)
    assert len(until_idle(rig, outlet, 1)) == 1


def test_a_snapshot_has_rates_classes_and_no_waits(rig: Rig, outlet: Outlet) -> None:
    driver = limited(rig)
    rig.engine.limit(0, 3, RATE)
    rig.engine.limit(0, NO_CLASS, 1)
    saved = save(rig.c)
    post(driver, 2)
    rig.run()
    held = save(rig.c)
    rig.engine.limit(0, 3, 0)
    rig.engine.limit(0, NO_CLASS, 0)
    load(rig.c, held)
    assert (rig.c.class_rates[0][3].kbps, rig.c.port_rates[0].kbps) == (RATE, 1)
    assert rig.c.egress[driver.number].traffic_class == 3
    assert rig.c.egress[driver.number].due == rig.c.port_rates[0].due == 0
    rig.run()
    assert driver.cidx == driver.pidx
    load(rig.c, saved)
    assert (driver.cidx, rig.c.class_rates[0][3].kbps) == (0, RATE)


def test_a_free_list_and_queues_of_other_kinds_have_no_class(rig: Rig) -> None:
    TxDriver(rig.host, number=82, kind=EgressKind.CONTROL)
    assert rig.c.egress[82].traffic_class == NO_CLASS == lib.ENGINE_NO_CLASS
    assert ffi.sizeof(rig.c.class_rates) == 4 * 16 * ffi.sizeof("struct rate")
