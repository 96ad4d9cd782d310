"""What is broken between the card and its host: DMA that is refused, interrupts that are lost, late
or doubled, completions that are not written; and what of it stays."""

from __future__ import annotations

import errno

import pytest
from frames import ethernet
from rxdriver import Rig, RxDriver
from txdriver import Outlet, TxDriver, inline

from vmcoredd.emu._cffi import lib
from vmcoredd.emu.engine.trouble import Kind

FRAME = ethernet(bytes(100))
MS = 1_000_000
VECTOR = 5


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def sender(rig: Rig, outlet: Outlet) -> TxDriver:
    return TxDriver(rig.host, auto_message=1)


@pytest.fixture
def receiver(rig: Rig) -> RxDriver:
    driver = RxDriver(rig.host)
    driver.refill()
    return driver


def test_a_read_that_the_host_refuses_halts_the_queue_and_is_told(
    rig: Rig, sender: TxDriver, outlet: Outlet
) -> None:
    rig.c.broken = lib.BREAKS_DMA_READ
    sender.post(inline(FRAME))
    rig.run()
    assert sender.halted
    (trouble,) = rig.troubles
    assert (trouble.kind, trouble.queue) == (Kind.DMA_READ, sender.number)
    assert trouble.error == -errno.EACCES
    rig.c.broken = 0
    sender.post(inline(FRAME))
    rig.run()
    assert (sender.halted, outlet.frames()) == (True, [])


def test_a_write_that_the_host_refuses_halts_the_queue_it_was_for(
    rig: Rig, sender: TxDriver, receiver: RxDriver, outlet: Outlet
) -> None:
    rig.c.broken = lib.BREAKS_DMA_WRITE
    rig.receive(FRAME)
    sender.post(inline(FRAME))
    rig.run()
    assert {trouble.kind for trouble in rig.troubles} == {Kind.DMA_WRITE}
    assert receiver.poll() == []
    assert rig.c.ingress[receiver.number].halted
    assert len(outlet.frames()) == 1  # reads are not refused


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_interrupt_never_comes(rig: Rig, times: int) -> None:
    rig.c.broken = lib.BREAKS_INTERRUPT_LOST
    for _ in range(times):
        rig.engine.interrupt(VECTOR)
    rig.c.broken = 0
    assert rig.run(MS) + rig.run(10_000 * MS) == []
    assert not any(rig.c.msix_pending)
    rig.engine.interrupt(VECTOR)
    assert rig.host.interrupts == [VECTOR]


def test_a_late_interrupt_comes_when_its_time_is_over(rig: Rig) -> None:
    rig.c.broken, rig.c.late = lib.BREAKS_INTERRUPT_LATE, 20 * MS
    rig.engine.interrupt(VECTOR)
    rig.engine.interrupt(VECTOR)  # is one with the first, as for a level
    assert rig.c.pending  # which has the engine run, and so begin
    assert [rig.run(0), rig.run(19 * MS), rig.run(MS), rig.run(40 * MS)] == [[], [], [VECTOR], []]


def test_a_late_interrupt_still_comes_if_the_fault_ends_before(rig: Rig) -> None:
    rig.c.broken, rig.c.late = lib.BREAKS_INTERRUPT_LATE, 20 * MS
    rig.engine.interrupt(VECTOR)
    rig.run()
    rig.c.broken = rig.c.late = 0
    assert rig.run(20 * MS) == [VECTOR]


def test_a_late_interrupt_is_forgotten_with_the_host(rig: Rig) -> None:
    rig.c.broken, rig.c.late = lib.BREAKS_INTERRUPT_LATE, 20 * MS
    rig.engine.interrupt(VECTOR)
    rig.engine.forget_interrupts()
    assert (rig.run(40 * MS), rig.c.late_interrupts) == ([], 0)


def test_a_doubled_interrupt_comes_at_once_and_again(rig: Rig) -> None:
    rig.c.broken, rig.c.late = lib.BREAKS_INTERRUPT_TWICE, MS
    rig.engine.interrupt(VECTOR)
    assert rig.host.interrupts == [VECTOR]
    assert [rig.run(0), rig.run(MS), rig.run(MS)] == [[], [VECTOR], []]


def test_a_driver_does_not_hear_what_was_sent(
    rig: Rig, sender: TxDriver, receiver: RxDriver, outlet: Outlet
) -> None:
    rig.c.broken = lib.BREAKS_SENT
    sender.post(*[inline(FRAME)] * 20)
    rig.run()
    assert (len(outlet.frames()), sender.cidx) == (20, sender.pidx)
    assert (sender.status, receiver.poll()) == ((0, 0, 0), [])
    rig.c.broken = 0
    sender.post(inline(FRAME))
    rig.run()
    assert sender.status[1] == sender.pidx  # which tells of the others too


def test_a_received_frame_without_a_response_holds_up_those_behind_it(
    rig: Rig, receiver: RxDriver
) -> None:
    rig.c.broken = lib.BREAKS_RECEIVED
    rig.receive(FRAME)
    rig.c.broken = 0
    rig.receive(FRAME)
    rig.run()
    assert receiver.poll() == []
    assert rig.c.ingress[receiver.number].pidx == 2
    assert rig.c.counts.frames_received == 2
