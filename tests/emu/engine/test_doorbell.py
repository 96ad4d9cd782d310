"""Doorbells in BAR2 and in BAR0: which queue they mean, and what they may say."""

from __future__ import annotations

import pytest
from rxdriver import Rig, RxDriver
from txdriver import Outlet, TxDriver, inline

from tests.emu.engine.test_egress import frame
from vmcoredd.chip.sge import USER_DOORBELL
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import ffi, lib

PF = 4
BAR2_BYTES = 1 << 20
KDOORBELL, GTS = USER_DOORBELL["KDOORBELL"], USER_DOORBELL["GTS"]
COMBINED, SIZE = USER_DOORBELL["WCDOORBELL"], USER_DOORBELL["SIZE"]


class Bar2:
    """BAR2 of an engine without a card."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.words = rig, ffi.new("uint32_t[]", BAR2_BYTES // 4)
        rig.c.doorbells, rig.c.pf = self.words, PF

    def pages(self, size_shift: int, queues_shift: int) -> None:
        """Sets the size of pages, and how many queues there are in each."""
        self.rig.register("SGE_HOST_PAGE_SIZE", HostPageSizePF4=size_shift - 10)
        for name in ("EGRESS", "INGRESS"):
            self.rig.register(f"SGE_{name}_QUEUES_PER_PAGE_PF", QueuesPerPagePF4=queues_shift)

    def write(self, offset: int, data: bytes) -> None:
        ffi.memmove(ffi.cast("char *", self.words) + offset, data, len(data))
        lib.engine_bar2_written(self.rig.c, offset, len(data))

    def word(self, offset: int, value: int) -> None:
        self.write(offset, value.to_bytes(4, "little"))


@pytest.fixture
def bar2(rig: Rig) -> Bar2:
    return Bar2(rig)


def place(queue: int, page_shift: int, queues_shift: int) -> tuple[int, int]:
    """Returns a queue's part of BAR2, and its id in writes there (t4_bar2_sge_qregs())."""
    in_page = queue % (1 << queues_shift)
    page = queue >> queues_shift << page_shift
    if in_page * SIZE < 1 << page_shift:
        return page + in_page * SIZE, 0
    return page, in_page


SHAPES = [(12, 3), (12, 0), (12, 5), (13, 6), (12, 7), (16, 3)]


@pytest.mark.parametrize(("page_shift", "queues_shift"), SHAPES)
@pytest.mark.parametrize("number", [0, 64, 72, 79, 81, 127])
def test_a_doorbell_means_the_queue_that_the_driver_means(
    rig: Rig, bar2: Bar2, page_shift: int, queues_shift: int, number: int
) -> None:
    bar2.pages(page_shift, queues_shift)
    at, named = place(number, page_shift, queues_shift)
    assert at + SIZE <= BAR2_BYTES
    driver, queue = TxDriver(rig.host, number=number), RxDriver(rig.host, number=number)
    for _ in range(3):
        rig.cpl(number, b"12345678")
    bar2.word(at + KDOORBELL, named << 15 | 3)
    bar2.word(at + GTS, named << 16 | 2)
    assert rig.c.egress[number].pidx == 3
    assert rig.c.ingress[number].cidx == 2
    assert rig.troubles == []
    assert (driver.number, queue.number) == (number, number)


def test_both_kinds_of_queue_have_their_own_number_in_a_page(rig: Rig, bar2: Bar2) -> None:
    bar2.pages(12, 3)
    rig.register("SGE_INGRESS_QUEUES_PER_PAGE_PF", QueuesPerPagePF4=4)
    TxDriver(rig.host, number=64)
    RxDriver(rig.host, number=129)
    rig.cpl(129, b"12345678")
    bar2.word(0x8000 + KDOORBELL, 1)
    bar2.word(0x8000 + SIZE + GTS, 1)
    assert rig.c.egress[64].pidx == 1
    assert rig.c.ingress[129].cidx == 1


@pytest.mark.parametrize("piece", [8, 16, 64])
def test_a_combined_write_is_one_descriptor_however_it_arrives(
    rig: Rig, bar2: Bar2, piece: int
) -> None:
    bar2.pages(12, 3)
    outlet, driver = Outlet(rig), TxDriver(rig.host, number=72)
    request = inline(frame(30))
    assert driver.write(request) == 1
    for at in range(0, 64, piece):
        assert rig.c.egress[72].pidx == 0
        bar2.write(0x9000 + COMBINED + at, request[at : at + piece])
    assert rig.c.egress[72].pidx == 1
    rig.run()
    assert [each[:30] for each in outlet.frames()] == [frame(30)]


def test_other_words_of_a_queues_part_do_nothing(rig: Rig, bar2: Bar2) -> None:
    bar2.pages(12, 3)
    TxDriver(rig.host, number=72)
    for at in range(0, SIZE, 4):
        if at not in (KDOORBELL, GTS, COMBINED + 60):
            bar2.word(0x9000 + at, 1)
    assert rig.c.egress[72].pidx == 0
    assert rig.troubles == []


def test_a_write_of_64_bits_rings_the_doorbell_in_its_lower_half(rig: Rig, bar2: Bar2) -> None:
    bar2.pages(12, 3)
    TxDriver(rig.host, number=72)
    bar2.write(0x9000 + KDOORBELL, (5).to_bytes(8, "little"))
    assert rig.c.egress[72].pidx == 5


@pytest.mark.parametrize(
    "value", [80 << 15 | 64, 80 << 15 | 0x1FFF, 90 << 15 | 1, 0x1FFFF << 15 | 1, 64 << 15 | 9],
    ids=["one too many", "far too many", "no queue", "no such id", "a full free list"],
)  # fmt: skip
def test_a_doorbell_that_makes_no_sense_is_reported_and_moves_nothing(rig: Rig, value: int) -> None:
    driver = TxDriver(rig.host, number=80, entries=64)
    RxDriver(rig.host, free_list=64, units=9)
    lib.engine_kdoorbell(rig.c, value)
    assert [(each.kind.name, each.what) for each in rig.troubles] == [("DOORBELL", value)]
    rig.run()
    assert (driver.cidx, rig.c.egress[80].pidx, rig.c.egress[64].pidx) == (0, 0, 0)


def test_a_part_of_a_page_that_no_queue_has_is_reported(rig: Rig, bar2: Bar2) -> None:
    bar2.pages(12, 3)
    TxDriver(rig.host, number=72)
    bar2.word(0x8000 + 8 * SIZE + KDOORBELL, 1)
    assert [each.kind.name for each in rig.troubles] == ["DOORBELL"]
    assert rig.c.egress[72].pidx == 0


def test_all_functions_have_doorbells_in_bar0_and_in_bar2() -> None:
    card = Card.load("t62100-cr", memory={"mc0": 16, "mc1": 0})
    seen: list[int] = []
    card.engine.trouble = lambda what: seen.append(what.what)  # type: ignore[method-assign]
    card.engine.c.reports = 100
    registers = card.chip.r
    words = [registers.SGE_PF_KDOORBELL[pf] for pf in range(8)]
    words += [registers.SGE_PF_GTS[pf] for pf in range(8)]
    words += [int(registers.MYPF_SGE_PF_KDOORBELL), int(registers.MYPF_SGE_PF_GTS)]
    for word in words:
        card.engine.c.reports = 4
        card.write(word, 1000 << 16 | 1)
        assert card.read(word) == 0
    card.bar_write(2, KDOORBELL, bytes([1, 0, 0, 0]))
    assert len(seen) == len(words) + 1
