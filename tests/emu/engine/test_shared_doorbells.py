"""Doorbells of BAR0 in a page that clients map: the engine looks, and arming can be lost."""

from __future__ import annotations

import itertools

import pytest
from readable import readable
from rxdriver import ONLY_CIDX, Rig, RxDriver
from txdriver import TxDriver

from vmcoredd.emu._cffi import ffi

LOOK = 10_000_000
"""Nanoseconds."""
VECTOR = 2
KDOORBELL, GTS = 0, 1
ARMED = 1 << 12


@pytest.fixture
def page(rig: Rig) -> memoryview:
    """The two words as a client sees them, in memory of the card's."""
    words = ffi.new("uint32_t[2]")
    rig.c.shared_doorbells = words
    return memoryview(ffi.buffer(words)).cast("I")


def test_a_doorbell_is_found_and_taken(rig: Rig, page: memoryview) -> None:
    queue = TxDriver(rig.host, number=64)
    page[KDOORBELL] = 64 << 15 | 3
    rig.run()
    assert (rig.c.egress[queue.number].pidx, page[KDOORBELL]) == (3, 0)
    rig.run(LOOK)
    assert rig.c.egress[queue.number].pidx == 3


def test_gts_arms_a_queue(rig: Rig, page: memoryview) -> None:
    driver = RxDriver(rig.host)
    page[GTS] = driver.number << 16 | ARMED
    rig.run()
    rig.cpl(driver.number, b"")
    assert rig.run() == [VECTOR]


def test_the_engine_looks_without_being_asked(rig: Rig, page: memoryview) -> None:
    """The timer that wakes it is set, though nothing else is to be done."""
    rig.run()
    assert readable([rig.c.timer_fd], 1)


def test_a_lost_arming_is_made_good(rig: Rig, page: memoryview) -> None:
    """Of two queues armed between two looks, the second is heard."""
    lost, heard = RxDriver(rig.host), RxDriver(rig.host, number=40, free_list=80, vector=3)
    for driver in (lost, heard):
        page[GTS] = driver.number << 16 | ARMED
        rig.cpl(driver.number, b"")
    assert rig.run() == [3]
    heard.gts(len(heard.poll()), ONLY_CIDX)
    assert rig.run(LOOK) == [VECTOR]


def test_a_queue_in_polling_is_left_alone(rig: Rig, page: memoryview) -> None:
    driver = RxDriver(rig.host)
    for _ in range(20):
        rig.cpl(driver.number, b"")
        rig.run(LOOK - 1)
        driver.gts(0, ONLY_CIDX)
    assert rig.host.interrupts == []


def test_a_driver_that_does_not_answer_is_asked_less_and_less(rig: Rig, page: memoryview) -> None:
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    times = [at for at in range(300) if rig.run(LOOK)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == [2, 4, 8, 16, 32, 64, 128]
    driver.gts(0, ONLY_CIDX)
    assert rig.run() == []
    assert rig.run(LOOK) == [VECTOR]


def test_while_a_dump_is_taken_nobody_is_asked(rig: Rig, page: memoryview) -> None:
    """Else what a dump says of INTx would depend on when it was taken."""
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    rig.engine.hold_outside(held=True)
    assert [rig.run(LOOK) for _ in range(300)] == [[]] * 300
    rig.engine.hold_outside(held=False)
    assert [VECTOR] in [rig.run(LOOK) for _ in range(130)]


def test_an_empty_queue_is_silent(rig: Rig, page: memoryview) -> None:
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    driver.gts(1, ONLY_CIDX)
    assert rig.run(100 * LOOK) == []


def test_where_no_client_maps_the_page_nothing_is_presumed(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.cpl(driver.number, b"")
    assert rig.run() == []
    assert rig.run(100 * LOOK) == []
