"""Entries of ingress queues."""

from __future__ import annotations

import errno
import struct

import pytest
from ramhost import BASE, SIZE
from rxdriver import DONE, HELD, ONLY_CIDX, Rig, RxDriver

from vmcoredd.chip.messages import Response
from vmcoredd.emu._cffi import lib

CPL = bytes(range(48))


def test_an_entry_holds_its_cpl_and_says_its_type(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    assert rig.cpl(driver.number, CPL) == DONE
    (got,) = driver.poll()
    assert (got.type, got.cpl, got.word) == (Response.CPL, CPL, 0)


def test_a_cpl_that_is_too_long_for_the_entry_is_cut(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.ingress[driver.number].entry_bytes = 32
    rig.cpl(driver.number, CPL)
    entry = rig.host.get(driver.address, 64)
    assert entry[:16] == CPL[:16]
    assert entry[24] >> 4 == 8 | Response.CPL
    assert not any(entry[32:])


def test_the_generation_flips_with_each_lap(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    for number in range(50):
        rig.cpl(driver.number, bytes([number]))
        (got,) = driver.poll()
        assert got.cpl[0] == number
        assert got.last >> 63 == (number // 15 + 1) % 2
        driver.gts(1)


def test_the_last_flit_is_written_last_and_whole(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.post()
    rig.receive(b"\1" * 60)
    writes = rig.host.written
    assert writes[-1] == (driver.address + 56, 8)
    assert writes[-2] == (driver.address, 56)
    assert len(writes) == 3  # the frame before them


def test_an_entry_is_outstanding_until_gts_says_that_it_was_read(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    verdicts = [rig.cpl(driver.number, CPL) for _ in range(15)]
    assert verdicts == [DONE] * 14 + [HELD]
    assert len(driver.poll()) == 14
    assert rig.cpl(driver.number, CPL) == HELD
    driver.gts(2, ONLY_CIDX)
    assert [rig.cpl(driver.number, CPL) for _ in range(3)] == [DONE, DONE, HELD]
    assert len(driver.poll()) == 2


def test_a_held_cpl_leaves_the_ring_as_it_was(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    while rig.cpl(driver.number, CPL) == DONE:
        pass
    before, writes = bytes(rig.host.memory), len(rig.host.written)
    assert rig.cpl(driver.number, CPL) == HELD
    assert rig.host.memory == before
    assert len(rig.host.written) == writes


def test_the_time_stamp_counts_core_clock_ticks(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.now = 40 * 365 * 86400 * 10**9 + 12
    rig.cpl(driver.number, CPL)
    (got,) = driver.poll()
    assert got.timestamp == (40 * 365 * 86400 * 10**9 + 12) * 250_000 // 1_000_000


@pytest.mark.parametrize("queue", [34, 1023, 1024, 0xFFFF, 0xFFFFFFFF])
def test_a_cpl_for_no_queue_is_dropped(rig: Rig, queue: int) -> None:
    RxDriver(rig.host)
    assert rig.cpl(queue, CPL) == DONE
    assert not rig.host.written


def test_a_status_entry_tells_a_polling_driver_how_far_the_card_is(rig: Rig) -> None:
    """It follows the entry that it tells of, whether the queue is armed or not."""
    driver = RxDriver(rig.host, entries=15)
    status = driver.address + 15 * 64
    rig.c.ingress[driver.number].tells_status = 1
    for number in range(1, 40):
        rig.cpl(driver.number, CPL)
        assert rig.host.written[-1] == (status, 8)
        read = (number - 1) % 15
        assert struct.unpack(">IHH", rig.host.get(status, 8)) == (driver.number, read, number % 15)
        assert len(driver.poll()) == 1
        driver.gts(1, ONLY_CIDX)


def test_an_interrupted_driver_s_status_entry_stays_as_it_was(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    rig.cpl(driver.number, CPL)
    assert not any(rig.host.get(driver.address + 15 * 64, 64))


def test_a_stopped_queue_gets_nothing(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.engine.halt_ingress(driver.number, halted=True)
    assert rig.cpl(driver.number, CPL) == DONE
    assert not rig.host.written
    rig.engine.halt_ingress(driver.number, halted=False)
    rig.cpl(driver.number, CPL)
    assert len(driver.poll()) == 1


def test_without_a_host_or_the_bus_a_message_waits(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.bus_master = 0
    assert rig.cpl(driver.number, CPL) == HELD
    rig.c.bus_master = 1
    assert rig.cpl(driver.number, CPL) == DONE
    assert not rig.troubles
    assert len(driver.poll()) == 1


def test_a_queue_without_memory_is_reported_once_and_halts(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.ingress[driver.number].address = BASE + SIZE
    for _ in range(3):
        assert rig.cpl(driver.number, CPL) == DONE
    assert [(kind, queue) for kind, queue, *_ in rig.troubles] == [
        (lib.TROUBLE_DMA_WRITE, driver.number)
    ]


def test_gts_beyond_what_is_outstanding_is_reported_and_empties_the_queue(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    for _ in range(3):
        rig.cpl(driver.number, CPL)
    driver.gts(4)
    assert rig.troubles == [(lib.TROUBLE_GTS, driver.number, 4, 0)]
    queue = rig.c.ingress[driver.number]
    assert queue.cidx == queue.pidx == 3


@pytest.mark.parametrize("queue", [0, 5, 1024, 0xFFFF])
def test_gts_for_no_queue_is_reported(rig: Rig, queue: int) -> None:
    lib.engine_gts(rig.c, queue << 16 | 1 << 12 | 1)
    assert rig.troubles == [(lib.TROUBLE_GTS, queue, 1, -errno.ENOENT)]
    assert rig.run() == []


@pytest.mark.parametrize("number", [20, 40])
def test_the_queue_that_gets_anothers_interrupts_hears_which(rig: Rig, number: int) -> None:
    interrupts = RxDriver(rig.host, number=number, free_list=70, vector=0)
    driver = RxDriver(rig.host, vector=interrupts.number, forwarded=1)
    interrupts.gts(timer=6, count=True)
    rig.run()
    driver.gts(timer=6, count=True)
    rig.cpl(driver.number, CPL)
    rig.run()
    assert rig.c.pending or rig.host.interrupts
    rig.run()
    assert rig.host.interrupts == [0]
    (got,) = interrupts.poll()
    assert (got.type, got.word) == (Response.INTR, driver.number)


def test_an_interrupt_waits_for_room_in_the_queue_that_gets_it(rig: Rig) -> None:
    interrupts = RxDriver(rig.host, number=20, free_list=70, vector=0, entries=15)
    driver = RxDriver(rig.host, vector=interrupts.number, forwarded=1)
    while rig.cpl(interrupts.number, CPL) == DONE:
        pass
    driver.gts(timer=6, count=True)
    rig.cpl(driver.number, CPL)
    for _ in range(3):
        rig.run()
    assert not rig.c.pending  # it does not spin
    assert len(interrupts.poll()) == 14
    interrupts.gts(14, timer=6, count=True)
    rig.run()
    rig.run()
    assert [got.word for got in interrupts.poll()] == [driver.number]
    assert rig.host.interrupts == [0]


def test_queues_that_forward_to_each_other_come_to_rest(rig: Rig) -> None:
    drivers = [
        RxDriver(rig.host, number=n, free_list=60 + n, vector=(n + 1) % 3, forwarded=1)
        for n in range(3)
    ]
    for driver in drivers:
        driver.gts(timer=6, count=True)
    rig.cpl(0, CPL)
    runs = 0
    while rig.c.pending:
        rig.run()
        runs += 1
    assert runs <= 4
    assert not rig.host.interrupts
