"""What happens when the host refuses an access: the queue halts, once, and the others go on."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from frames import ethernet
from ramhost import BASE, SIZE
from rxdriver import DONE, Rig, RxDriver
from txdriver import DESCRIPTOR, Outlet, TxDriver, inline, request, sgl, tx_pkt

from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine.trouble import Kind, Trouble

NOWHERE = 0xDEAD_0000_0000
END = BASE + SIZE
FRAME = ethernet(bytes(100))
TX, OTHER, RX, LIST = 80, 81, 33, 64


def listed(*places: tuple[int, int]) -> bytes:
    """A work request that sends the bytes at these lengths and addresses."""
    cpl = tx_pkt(sum(length for length, _ in places))
    return request(cpl + sgl(list(places)), immediate=len(cpl))


def accesses(rig: Rig) -> int:
    return int(rig.c.counts.dma_reads + rig.c.counts.dma_writes)


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host, number=TX)


def lose_ring(rig: Rig, driver: TxDriver) -> int:
    """The descriptors of the queue are gone."""
    rig.c.egress[TX].address = NOWHERE
    driver.post(inline(FRAME))
    return NOWHERE


def lose_data(rig: Rig, driver: TxDriver) -> int:
    """The second part of a frame is gone."""
    driver.post(listed((60, BASE), (40, NOWHERE + 8)))
    return NOWHERE + 8


def lose_end(rig: Rig, driver: TxDriver) -> int:
    """A frame's last byte is beyond the memory."""
    driver.post(listed((60, END - 59)))
    return END - 59


def wrap_around(rig: Rig, driver: TxDriver) -> int:
    """A frame lies around the end of the address space."""
    driver.post(listed((60, 2**64 - 30)))
    return 2**64 - 30


@pytest.mark.parametrize("lose", [lose_ring, lose_data, lose_end, wrap_around])
def test_an_egress_queue_whose_memory_is_gone_halts(
    rig: Rig, outlet: Outlet, driver: TxDriver, lose: Callable[[Rig, TxDriver], int]
) -> None:
    at = lose(rig, driver)
    rig.run()
    assert rig.troubles == [Trouble(Kind.DMA_READ, TX, at, -errno.ENOENT)]
    assert driver.halted
    before = accesses(rig)
    driver.post(inline(FRAME))
    for _ in range(3):
        rig.run()
    assert (accesses(rig), len(rig.troubles), outlet.frames()) == (before, 1, [])


def test_the_other_queues_go_on(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    other = TxDriver(rig.host, number=OTHER)
    lose_data(rig, driver)
    other.post(inline(FRAME))
    rig.run()
    assert driver.halted
    assert outlet.frames() == [FRAME]
    assert other.status[1] == other.cidx


def test_a_status_page_that_is_gone_halts_its_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    """The last descriptor is the last of the memory: the frame leaves, the status page is lost."""
    rig.c.egress[TX].address = END - driver.entries * DESCRIPTOR
    for at in range(0, 128, DESCRIPTOR):
        rig.host.put(
            END - driver.entries * DESCRIPTOR + at, inline(FRAME).ljust(192, b"\0")[at:][:64]
        )
    rig.host.put(END - driver.entries * DESCRIPTOR + 128, inline(FRAME).ljust(192, b"\0")[128:])
    driver.ring_doorbell(3)
    rig.run()
    assert outlet.frames() == [FRAME]
    assert rig.troubles == [Trouble(Kind.DMA_WRITE, TX, END, -errno.ENOENT)]
    assert driver.halted


def test_an_ingress_queue_whose_memory_is_gone_halts(rig: Rig) -> None:
    RxDriver(rig.host, number=RX)
    rig.c.ingress[RX].address = NOWHERE
    assert rig.cpl(RX, bytes(16)) == DONE
    assert rig.troubles == [Trouble(Kind.DMA_WRITE, RX, NOWHERE, -errno.ENOENT)]
    before = accesses(rig)
    assert rig.cpl(RX, bytes(16)) == DONE  # nobody waits for it
    assert (accesses(rig), len(rig.troubles)) == (before, 1)


@pytest.mark.parametrize("status", [0, 1])
def test_an_ingress_queue_whose_entry_cannot_be_ended_halts(rig: Rig, status: int) -> None:
    """Its last flit, or the status entry behind it, is beyond the memory."""
    RxDriver(rig.host, number=RX, entries=15)
    queue = rig.c.ingress[RX]
    queue.tells_status = status
    queue.address = END - 64 * 15 if status else END - 56
    assert rig.cpl(RX, bytes(16)) == DONE
    assert [each.kind for each in rig.troubles] == [Kind.DMA_WRITE]
    assert queue.halted


def test_a_free_list_whose_pointers_are_gone_halts(rig: Rig) -> None:
    RxDriver(rig.host, number=RX, free_list=LIST).post()
    rig.c.egress[LIST].address = NOWHERE
    assert rig.receive(FRAME) == DONE
    assert rig.troubles == [Trouble(Kind.DMA_READ, LIST, NOWHERE, -errno.ENOENT)]
    assert rig.receive(FRAME) == DONE
    assert len(rig.troubles) == 1


def test_a_free_list_whose_buffer_is_gone_halts(rig: Rig) -> None:
    driver = RxDriver(rig.host, number=RX, free_list=LIST)
    driver.post()
    rig.host.put(driver.pointers, NOWHERE.to_bytes(8, "big"))
    assert rig.receive(FRAME) == DONE
    assert [(one.kind, one.queue) for one in rig.troubles] == [(Kind.DMA_WRITE, LIST)]
    assert rig.c.egress[LIST].halted
    assert rig.receive(FRAME) == DONE
    assert len(rig.troubles) == 1


@pytest.mark.parametrize("missing", ["host", "bus mastering"])
def test_nothing_is_touched_without_a_host_or_the_bus(
    rig: Rig, outlet: Outlet, driver: TxDriver, missing: str
) -> None:
    driver.post(inline(FRAME))
    if missing == "host":
        rig.engine.detach()
    else:
        rig.c.bus_master = 0
    rig.cpl(RX, bytes(16))
    rig.run()
    assert (accesses(rig), outlet.frames()) == (0, [])


def test_a_new_host_gets_nothing_of_the_queues_of_the_last(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    driver.post(inline(FRAME))
    host = rig.c.host
    rig.engine.detach()
    rig.c.host = host
    rig.engine.c.pending = 1
    rig.run()
    assert (accesses(rig), outlet.frames()) == (0, [])


@pytest.mark.parametrize("attached", [False, True])
def test_a_snapshot_brings_no_queue_to_a_host_that_is_not_its_own(
    rig: Rig, outlet: Outlet, driver: TxDriver, attached: bool
) -> None:
    """Its host is gone, and the next has other things where the rings were."""
    driver.post(inline(FRAME))
    host, saved = rig.c.host, rig.engine.save()
    if not attached:
        rig.engine.detach()
    rig.engine.load(saved)
    rig.engine.attach(int(ffi.cast("uintptr_t", host)))
    rig.run()
    assert outlet.frames() == ([FRAME] if attached else [])
    assert bool(accesses(rig)) == attached


def test_many_troubles_take_little_of_pythons_time(rig: Rig) -> None:
    for number in range(100, 200):
        one = TxDriver(rig.host, number=number)
        one.post(listed((60, NOWHERE)))
    rig.run()
    assert rig.c.counts.troubles == 100
    assert rig.c.counts.python_calls == len(rig.troubles) == lib.ENGINE_REPORTS
