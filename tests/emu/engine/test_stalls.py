"""No queue sleeps for ever: what waits is told of, and what is held is offered again.

A driver here is NAPI: it looks at its queue only after an interrupt, and then until the queue is
empty. The card runs only when something has asked for it or a timer has ended.
"""

from __future__ import annotations

import os
import random

import pytest
from frames import ethernet
from netdev import NEVER, Napi, Netdev, due
from rxdriver import DONE, HELD, NO_TIMER, ONLY_CIDX, Rig, RxDriver

from vmcoredd.emu.engine import WireKind

VECTOR = 2
MORE = 50 if os.environ.get("VMCOREDD_THOROUGH") == "1" else 1
"""As many times more seeds."""


class Simulation:
    """A sender of `sent`, an engine and a driver; each acts only when it has a reason to."""

    def __init__(self, rig: Rig, pick: random.Random) -> None:
        self.rig, self.pick = rig, pick
        self.driver = RxDriver(
            rig.host,
            entries=pick.choice([15, 31]),
            units=pick.choice([3, 4]),
            size=pick.choice([1536, 4096]),
            packing=pick.random() < 0.5,
            threshold=pick.randrange(4),
        )
        self.driver.refill()
        self.arrived: list[bytes] = []
        self.napi = Napi(self.driver, pick, lambda got: self.arrived.append(got.frame[2:]))
        self.sent = [ethernet(pick.randbytes(pick.randrange(46, 3000))) for _ in range(300)]
        self.waiting = list(self.sent)
        self.held = False

    def run(self, nanoseconds: int = 1) -> None:
        """One run of the engine, which offers frames first."""
        while self.waiting:
            self.held = self.rig.receive(self.waiting[0]) == HELD
            if self.held:
                break
            self.waiting.pop(0)
            if self.pick.random() < 0.3:
                break
        self.napi.scheduled |= VECTOR in self.rig.run(nanoseconds)

    def step(self) -> bool:
        """Lets somebody act who may; returns whether there was anybody."""
        if self.waiting and not self.held and self.pick.random() < 0.5:
            self.rig.c.pending = 1  # a frame comes in
        if self.napi.scheduled and self.pick.random() < 0.5:
            self.napi.poll()
        elif self.rig.c.pending:
            self.run()
        elif not self.napi.scheduled and due(self.rig) != NEVER:
            self.run(due(self.rig) - self.rig.now)
        elif not self.napi.scheduled and self.driver.could_post():
            self.driver.refill()  # sge_rx_timer_cb(), every half second
        else:
            return self.napi.scheduled or (bool(self.waiting) and not self.held)
        return True


@pytest.mark.parametrize("seed", range(20 * MORE))
def test_all_frames_arrive_in_the_end(rig: Rig, seed: int) -> None:
    """But those that the driver asked not to hear of: below its threshold, without a timer."""
    simulation = Simulation(rig, random.Random(seed))
    while simulation.step():
        pass
    assert not simulation.waiting, "all sleep"
    queue = rig.c.ingress[simulation.driver.number]
    if not (queue.armed and queue.timer == NO_TIMER):
        assert queue.cidx == queue.pidx
    simulation.napi.poll()
    while simulation.napi.scheduled or queue.cidx != queue.pidx:
        simulation.napi.poll()
    assert simulation.arrived == simulation.sent


def act(rig: Rig, netdevs: list[Netdev], pick: random.Random) -> bool:
    """Lets somebody act who may; returns whether there was anybody."""
    polling = [each for each in netdevs if each.napi.scheduled]
    sending = [each for each in netdevs if not each.stopped and len(each.sent) < 300_000]
    starving = [each for each in netdevs if each.rx.could_post()]
    if rig.c.pending and pick.random() < 0.6:
        raised = rig.run(1)
    elif polling and pick.random() < 0.6:
        pick.choice(polling).napi.poll()
        return True
    elif sending:
        pick.choice(sending).transmit()
        return True
    elif due(rig) != NEVER and not rig.c.pending:
        raised = rig.run(max(due(rig) - rig.now, 0))
    elif starving and not polling and not rig.c.pending:
        starving[0].rx.refill()  # sge_rx_timer_cb(), every half second
        return True
    else:
        return bool(rig.c.pending or polling)
    for each in netdevs:
        each.napi.scheduled |= each.rx.vector in raised
    return True


@pytest.mark.parametrize("seed", range(6 * MORE))
def test_two_ports_of_a_card_lose_nothing_and_do_not_stall(rig: Rig, seed: int) -> None:
    """Small rings on both sides, TSO, and a T6's queues that stop until they are told."""
    pick = random.Random(seed)
    for port in range(2):
        entry = rig.c.ports[port]
        entry.present = entry.configured = entry.enabled = 1
        rig.engine.plug(port, WireKind.PORT, peer=1 - port)
        rig.interface(port, promiscuous=1)
    netdevs = [Netdev(rig, port, pick) for port in range(2)]
    while act(rig, netdevs, pick):
        pass
    for here, there in (netdevs, netdevs[::-1]):
        assert not here.stopped
        assert here.tx.cidx == here.tx.pidx
        assert there.arrived == here.sent
    assert rig.c.counts.frames_dropped == 0
    assert rig.c.counts.frames_held > 0


def test_a_frame_without_room_interrupts_below_the_threshold(rig: Rig) -> None:
    driver = RxDriver(rig.host, threshold=3, size=1536, units=2, packing=False)
    driver.refill()
    driver.gts(timer=NO_TIMER, count=True)
    for _ in range(8):
        rig.receive(ethernet(b""))
    assert rig.run() == []
    assert rig.receive(ethernet(b"")) == HELD
    assert rig.run() == [VECTOR]


def test_a_queue_that_is_full_interrupts_below_its_threshold(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15, threshold=3)
    driver.gts(timer=NO_TIMER, count=True)
    while rig.cpl(driver.number, b"") == DONE:
        assert rig.run() == []
    assert rig.run() == [VECTOR]


def test_a_driver_that_arms_while_a_frame_waits_is_told_at_once(rig: Rig) -> None:
    """The frame is offered again because of its GTS, and finds no room again."""
    driver = RxDriver(rig.host, threshold=3, size=1536, units=2, packing=False)
    driver.refill()
    for _ in range(8):
        rig.receive(ethernet(b""))
    assert rig.receive(ethernet(b"")) == HELD
    assert rig.run() == []
    driver.gts(timer=5, count=True)
    assert rig.c.pending
    assert rig.receive(ethernet(b"")) == HELD
    assert rig.run() == [VECTOR]


@pytest.mark.parametrize("timer", [1, NO_TIMER, ONLY_CIDX])
def test_gts_wakes_whoever_waits_for_room(rig: Rig, timer: int) -> None:
    driver = RxDriver(rig.host, entries=15)
    while rig.cpl(driver.number, b"") == DONE:
        pass
    rig.run()
    assert not rig.c.pending
    driver.gts(1, timer)
    assert rig.c.pending
    assert rig.cpl(driver.number, b"") == DONE


@pytest.mark.parametrize("gone", ["queue", "free list", "interface", "enable", "stop"])
def test_what_waits_for_a_queue_is_freed_with_it(rig: Rig, gone: str) -> None:
    driver = RxDriver(rig.host)
    assert rig.receive(ethernet(b"")) == HELD
    rig.run()
    assert not rig.c.pending
    if gone == "queue":
        rig.engine.stop_ingress(driver.number)
    elif gone == "free list":
        rig.engine.stop_egress(driver.free_list)
    elif gone == "interface":
        rig.engine.remove_interface(0x240)
    elif gone == "enable":
        rig.interface(promiscuous=1, receives=0)
    else:
        rig.engine.halt_ingress(driver.number, halted=True)
    assert rig.c.pending
    assert rig.receive(ethernet(b"")) == DONE


def test_an_armed_queue_keeps_its_interrupt_through_a_snapshot(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=5)
    rig.cpl(driver.number, b"")
    rig.run()
    saved = rig.engine.save()
    rig.engine.stop_ingress(driver.number)
    rig.run()
    rig.engine.load(saved)
    assert rig.c.pending
    assert rig.run() == [VECTOR]


def test_a_queue_that_is_started_again_tells_of_its_entries(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1)
    rig.cpl(driver.number, b"")
    rig.engine.halt_ingress(driver.number, halted=True)
    assert rig.run(10**6) == rig.run(10**6) == []
    rig.engine.halt_ingress(driver.number, halted=False)
    assert rig.run(10**6) == [VECTOR]
