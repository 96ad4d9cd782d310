"""When an ingress queue raises its interrupt."""

from __future__ import annotations

import pytest
from rxdriver import DONE, NO_TIMER, ONLY_CIDX, Rig, RxDriver

TIMERS = [1_000, 5_000, 10_000, 50_000, 100_000, 200_000]
"""Nanoseconds of holdoff timers 0..5 after reset, at 250 MHz."""
THRESHOLDS = [1, 4, 8, 16]
"""Packet thresholds after reset."""
VECTOR = 2


@pytest.mark.parametrize("timer", range(6))
def test_the_interrupt_comes_when_the_holdoff_timer_ends(rig: Rig, timer: int) -> None:
    driver = RxDriver(rig.host, threshold=3)
    driver.gts(timer=timer)
    rig.run(1)
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    assert rig.run(TIMERS[timer] - 1) == []
    assert rig.run(1) == [VECTOR]
    assert rig.run(10**9) == []


def test_timers_are_read_from_their_registers(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.register("SGE_TIMER_VALUE_4_AND_5", TimerValue5=2_500)
    driver.gts(timer=5)
    rig.cpl(driver.number, b"")
    rig.run()
    assert rig.run(9_999) == []
    assert rig.run(1) == [VECTOR]


def test_the_timer_runs_from_the_first_entry_on(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=3)
    assert rig.run(10**9) == []
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    rig.cpl(driver.number, b"")
    assert rig.run(49_999) == []
    assert rig.run(1) == [VECTOR]


@pytest.mark.parametrize("threshold", range(4))
def test_the_packet_threshold_needs_no_timer(rig: Rig, threshold: int) -> None:
    driver = RxDriver(rig.host, threshold=threshold)
    driver.gts(timer=NO_TIMER, count=True)
    for _ in range(THRESHOLDS[threshold] - 1):
        rig.cpl(driver.number, b"")
        assert rig.run(10**6) == []
    rig.cpl(driver.number, b"")
    assert rig.run() == [VECTOR]


def test_thresholds_are_read_from_their_register_and_may_change(rig: Rig) -> None:
    driver = RxDriver(rig.host, threshold=1)
    rig.register("SGE_INGRESS_RX_THRESHOLD", Threshold_1=2, Threshold_2=3)
    driver.gts(timer=NO_TIMER, count=True)
    rig.engine.set_threshold(driver.number, 2)
    rig.cpl(driver.number, b"")
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    rig.cpl(driver.number, b"")
    assert rig.run() == [VECTOR]


def test_a_lower_threshold_that_is_reached_already_is_told_of_at_once(rig: Rig) -> None:
    """ethtool -C rx-frames, on a queue that waits for more (FW_PARAMS, DMAQ_IQ_INTCNTTHRESH)."""
    driver = RxDriver(rig.host, threshold=2)
    rig.register("SGE_INGRESS_RX_THRESHOLD", Threshold_1=2, Threshold_2=3)
    driver.gts(timer=NO_TIMER, count=True)
    rig.cpl(driver.number, b"")
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    assert not rig.c.pending
    rig.engine.set_threshold(driver.number, 1)
    assert rig.c.pending
    assert rig.run() == [VECTOR]


def test_what_comes_first_ends_the_holdoff(rig: Rig) -> None:
    driver = RxDriver(rig.host, threshold=1)
    for count in (3, 4):
        driver.gts(timer=5, count=True)
        for _ in range(count):
            rig.cpl(driver.number, b"")
        assert rig.run() == ([VECTOR] if count == 4 else [])
        assert rig.run(200_000) == ([VECTOR] if count == 3 else [])
        driver.gts(len(driver.poll()), ONLY_CIDX)


def test_without_seintarm_the_threshold_does_not_count(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=5)
    for _ in range(20):
        rig.cpl(driver.number, b"")
    assert rig.run() == []
    assert rig.run(200_000) == [VECTOR]


def test_one_arming_is_one_interrupt(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1, count=True)
    for _ in range(5):
        rig.cpl(driver.number, b"")
        rig.run(10**6)
    assert rig.host.interrupts == [VECTOR]


def test_a_queue_that_was_never_armed_is_silent(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    driver.gts(0, ONLY_CIDX, count=True)
    assert rig.run(10**9) == []


def test_gts_7_does_not_disarm(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1)
    rig.cpl(driver.number, b"")
    rig.run()
    driver.gts(0, ONLY_CIDX)
    assert rig.run(5_000) == [VECTOR]


def test_no_timer_and_no_threshold_disarm(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1)
    driver.gts(timer=NO_TIMER)
    rig.cpl(driver.number, b"")
    assert rig.run(10**9) == []


@pytest.mark.parametrize(("timer", "count"), [(0, False), (5, False), (5, True), (6, True)])
def test_entries_that_are_there_at_arming_are_told_of(rig: Rig, timer: int, count: bool) -> None:
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    assert rig.run(10**9) == []
    driver.gts(timer=timer, count=count)
    assert rig.c.pending
    rig.run()
    rig.run(200_000)
    assert rig.host.interrupts == [VECTOR]


def test_entries_that_were_taken_are_not_told_of(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1)
    rig.cpl(driver.number, b"")
    rig.run()
    driver.gts(1, ONLY_CIDX)
    assert rig.run(10**6) == []
    rig.cpl(driver.number, b"")
    assert rig.run() == []  # the timer starts anew
    assert rig.run(5_000) == [VECTOR]


def test_what_waited_before_a_queue_was_armed_ends_no_holdoff(rig: Rig) -> None:
    """A frame that found no room while the driver polled is past once it has found some."""
    driver = RxDriver(rig.host, entries=15)
    while rig.cpl(driver.number, b"") == DONE:
        pass
    assert rig.run() == []
    driver.gts(len(driver.poll()), timer=5)
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    assert rig.run(TIMERS[5] - 1) == []
    assert rig.run(1) == [VECTOR]


def test_a_queue_that_raises_no_interrupts_does_not(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.ingress[driver.number].interrupts = 0
    driver.gts(timer=1, count=True)
    rig.cpl(driver.number, b"")
    assert rig.run(10**9) == []


def test_many_queues_keep_their_own_times(rig: Rig) -> None:
    drivers = [
        RxDriver(rig.host, number=number, free_list=500 + number, vector=number % 128)
        for number in range(0, 300, 3)
    ]
    for turn, driver in enumerate(drivers):
        driver.gts(timer=turn % 6)
        rig.cpl(driver.number, b"")
    rig.run()
    for timer, due in enumerate(TIMERS):
        got = rig.run(due - (TIMERS[timer - 1] if timer else 0))
        assert got == [d.number % 128 for turn, d in enumerate(drivers) if turn % 6 == timer]


def test_a_freed_queue_raises_nothing(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.gts(timer=1)
    rig.cpl(driver.number, b"")
    rig.run()
    rig.engine.stop_ingress(driver.number)
    assert rig.run(10**6) == []


def test_arming_starts_the_timer_that_it_names(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    for first, then in ((5, 1), (1, 5)):
        driver.gts(timer=first)
        rig.cpl(driver.number, b"")
        rig.run()
        driver.gts(timer=then)
        rig.run()
        assert rig.run(TIMERS[then] - 1) == []
        assert rig.run(1) == [VECTOR]
        driver.gts(1, ONLY_CIDX)
