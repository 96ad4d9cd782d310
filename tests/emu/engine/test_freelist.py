"""Frames in the buffers of free lists, as cxgb4's process_responses() finds them."""

from __future__ import annotations

import random

import pytest
from ramhost import BASE, SIZE
from rxdriver import DONE, HELD, Rig, RxDriver

from vmcoredd.emu._cffi import lib

SHIFT = 2
"""PktShift after reset."""


def frame(length: int, seed: int = 0) -> bytes:
    return b"\x02" + random.Random(seed).randbytes(length - 1)


def exchange(rig: Rig, driver: RxDriver, sent: list[bytes]) -> None:
    """Sends frames; each must arrive as it is, whatever is held in between."""
    waiting = list(sent)
    arrived: list[bytes] = []
    while len(arrived) < len(sent):
        before = len(waiting), len(arrived)
        while waiting and rig.receive(waiting[0]) == DONE:
            waiting.pop(0)
        got = driver.poll()
        driver.gts(len(got))
        driver.refill()
        arrived += [each.frame[SHIFT:] for each in got]
        assert (len(waiting), len(arrived)) != before
    assert arrived == sent


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "unpacked"])
@pytest.mark.parametrize("size", [1536, 4096, 65536])
def test_frames_arrive_as_they_were_sent(rig: Rig, packing: bool, size: int) -> None:
    driver = RxDriver(rig.host, size=size, packing=packing, units=5)
    driver.refill()
    pick = random.Random(size)
    sent = [frame(pick.choice([14, 60, pick.randint(15, 9018)]), n) for n in range(300)]
    exchange(rig, driver, sent)


@pytest.mark.parametrize(("pad", "pack"), [(0, 0), (3, 0), (0, 3), (2, 7), (7, 1)])
def test_packed_frames_are_aligned_as_the_registers_say(rig: Rig, pad: int, pack: int) -> None:
    rig.register("SGE_CONTROL", IngPadBoundary=pad)
    rig.register("SGE_CONTROL2", IngPackBoundary=pack)
    driver = RxDriver(rig.host, size=65536)
    driver.refill()
    exchange(rig, driver, [frame(60 + n, n) for n in range(200)])


def test_a_list_without_padding_is_aligned_for_packing_alone(rig: Rig) -> None:
    rig.register("SGE_CONTROL", IngPadBoundary=7)
    driver = RxDriver(rig.host, size=65536)
    rig.c.egress[driver.free_list].padding = 0
    driver.refill()
    rig.receive(frame(62))
    assert rig.c.egress[driver.free_list].offset == 64


def test_after_reset_packed_frames_are_aligned_to_16_or_32(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=65536)
    driver.refill()
    rig.receive(frame(14))
    expected = {5: 32, 6: 16}[rig.core.spaces.chip.version]
    assert rig.c.egress[driver.free_list].offset == expected


@pytest.mark.parametrize("shift", range(8))
def test_the_packet_shift_comes_from_its_register(rig: Rig, shift: int) -> None:
    rig.register("SGE_CONTROL", PktShift=shift)
    driver = RxDriver(rig.host)
    driver.refill()
    rig.receive(frame(60))
    (got,) = driver.poll()
    assert got.frame[shift:] == frame(60)
    assert len(got.frame) == 60 + shift


def test_a_new_buffer_is_begun_by_the_first_frame_and_by_what_does_not_fit(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=4096)
    driver.refill()
    begun = []
    for length in (1500, 1500, 1500, 5000, 1500, 60, 2000, 60):
        rig.receive(frame(length))
        (got,) = driver.poll()
        begun.append(got.new_buffer)
    assert begun == [True, False, True, True, False, False, True, False]


def test_a_frame_that_ends_its_buffer_exactly_fits(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=4096)
    driver.refill()
    for length in (2048 - SHIFT, 2048 - SHIFT, 60):
        rig.receive(frame(length, length))
    got = driver.poll()
    assert [each.new_buffer for each in got] == [True, False, True]
    assert [each.frame[SHIFT:] for each in got] == [frame(n, n) for n in (2046, 2046, 60)]


def test_without_packing_each_frame_begins_a_buffer(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=4096, packing=False)
    driver.refill()
    for _ in range(3):
        rig.receive(frame(60))
    assert [got.new_buffer for got in driver.poll()] == [True] * 3


def test_each_pointer_says_how_large_its_buffer_is(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    for size in (4096, 65536, 1536, 9024, 65536, 4096, 1536):
        driver.post(size=size)
    exchange(rig, driver, [frame(9000, n) for n in range(40)])


def test_an_empty_list_holds_the_frame_until_it_is_filled(rig: Rig) -> None:
    driver = RxDriver(rig.host, packing=False)
    assert rig.receive(frame(60)) == HELD
    driver.post()
    assert [rig.receive(frame(60, n)) for n in range(9)] == [DONE] * 8 + [HELD]
    assert [got.frame[SHIFT:] for got in driver.poll()] == [frame(60, n) for n in range(8)]


def test_a_frame_that_does_not_fit_whole_leaves_everything_as_it_was(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=1536)
    driver.post()
    rig.receive(frame(1000))
    state = bytes(rig.host.memory), str(rig.c.egress[driver.free_list].pointer)
    pidx = rig.c.ingress[driver.number].pidx
    assert rig.receive(frame(1536 * 7)) == HELD
    assert (bytes(rig.host.memory), str(rig.c.egress[driver.free_list].pointer)) == state
    assert rig.c.ingress[driver.number].pidx == pidx
    assert rig.receive(frame(200)) == DONE
    assert [len(got.frame) for got in driver.poll()] == [1000 + SHIFT, 200 + SHIFT]


def test_without_an_entry_no_buffer_is_used(rig: Rig) -> None:
    driver = RxDriver(rig.host, entries=15)
    driver.refill()
    while rig.cpl(driver.number, b"") == DONE:
        pass
    assert rig.receive(frame(60)) == HELD
    assert rig.c.egress[driver.free_list].offset == 0


def test_a_frame_for_which_a_full_list_is_too_small_is_dropped(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=1536, units=2)
    driver.post()
    assert rig.receive(frame(8 * 1536)) == DONE
    assert rig.c.counts.frames_dropped == 1
    assert rig.receive(frame(8 * 1536 - SHIFT)) == DONE
    assert len(driver.poll()) == 1


def test_a_frame_in_more_parts_than_any_needs_is_dropped(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=1536)
    driver.refill()
    assert rig.receive(frame(25 * 1536)) == DONE
    assert (rig.c.counts.frames_dropped, rig.c.counts.frames_received) == (1, 0)


def test_a_list_whose_pointers_cannot_be_read_halts(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.post()
    rig.c.egress[driver.free_list].address = BASE + SIZE
    for _ in range(3):
        assert rig.receive(frame(60)) == DONE
    assert rig.c.counts.frames_dropped == 3
    assert [each.kind for each in rig.troubles] == [lib.TROUBLE_DMA_READ]


def test_a_buffer_without_a_size_halts_its_list(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    driver.post()
    rig.host.put(driver.pointers, (BASE | 15).to_bytes(8, "big"))
    for _ in range(3):
        assert rig.receive(frame(60)) == DONE
    assert rig.troubles == [(lib.TROUBLE_BUFFER, driver.free_list, BASE | 15, 0)]


def test_a_buffer_that_is_not_there_halts_its_list(rig: Rig) -> None:
    driver = RxDriver(rig.host, packing=False)
    driver.post()
    rig.host.put(driver.pointers, (BASE + SIZE).to_bytes(8, "big"))
    for _ in range(3):
        assert rig.receive(frame(60)) == DONE
    assert [each.kind for each in rig.troubles] == [lib.TROUBLE_DMA_WRITE]
    assert rig.c.counts.frames_dropped == 2


def test_a_queue_without_a_free_list_gets_no_frame(rig: Rig) -> None:
    driver = RxDriver(rig.host)
    rig.c.ingress[driver.number].free_list = lib.ENGINE_NO_QUEUE
    assert rig.receive(frame(60)) == DONE
    assert rig.c.counts.frames_dropped == 1
    assert driver.poll() == []


def test_the_lists_indices_are_what_is_used(rig: Rig) -> None:
    driver = RxDriver(rig.host, size=4096, packing=False, units=3)
    driver.refill()
    for _ in range(11):
        rig.receive(frame(60))
        driver.poll()
        driver.gts(1)
        driver.refill()
    egress = rig.c.egress[driver.free_list]
    assert (egress.cidx, egress.pointer, egress.frames) == (11 // 8 % 3, 11 % 8, 11)
    assert egress.bytes == 11 * (60 + SHIFT)
