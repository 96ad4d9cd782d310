"""TP: its indirect registers, its tables behind one address each, RSS and timers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6

CARDS = pytest.mark.parametrize("card", ["t520-cr", "t62100-cr"], indirect=True)
MTU, CCTRL, PACE, RSS, VRT = 0x7DE4, 0x7DDC, 0x7DD8, 0x7DEC, 0x7E00
PIO_ADDR, PIO_DATA, VFL, VFH = 0x7E40, 0x7E44, 0x3A, 0x3B
VALID, VF_READ, VF_WRITE = 1 << 31, 1 << 24, 1 << 5
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


@pytest.fixture
def card(request: pytest.FixtureRequest) -> emu.Card:
    return emu.Card.load(request.param, strict=True, memory=SMALL)


def request(card: emu.Card, register: int, value: int) -> int:
    card.write(register, value)
    return card.read(register)


@CARDS
def test_a_row_is_read_where_it_was_requested(card: emu.Card) -> None:
    assert request(card, MTU, 0xFF000008) & 0x3FFF == 1500
    assert request(card, CCTRL, 0xFFFF0000 | 8 << 5) & 0x1FFF == 730
    assert request(card, PACE, 0xFFFF0003) <= 0xFFFF


@CARDS
def test_a_written_row_is_read_back_and_the_others_stay(card: emu.Card) -> None:
    before = request(card, MTU, 0xFF000004)
    card.write(MTU, 3 << 24 | 12 << 16 | 3000)
    assert request(card, MTU, 0xFF000003) == 12 << 16 | 3000
    assert request(card, MTU, 0xFF000004) == before
    card.write(CCTRL, (5 << 5 | 7) << 16 | 4 << 13 | 99)
    assert request(card, CCTRL, 0xFFFF0000 | 5 << 5 | 7) == 4 << 13 | 99


@CARDS
def test_mtus_ascend_and_larger_windows_grow_less(card: emu.Card) -> None:
    mtus = [request(card, MTU, 0xFF000000 | row) & 0x3FFF for row in range(16)]
    assert all(low < high for low, high in pairwise(mtus))
    first, last = (request(card, CCTRL, 0xFFFF0000 | 8 << 5 | w) & 0x1FFF for w in (0, 31))
    assert first > last > 0


@CARDS
def test_an_rss_row_is_valid_and_holds_two_queues(card: emu.Card) -> None:
    entries = card.scenario.queues.rss_entries
    word = request(card, RSS, 0xFFF00001)
    assert word & VALID
    assert (word & 0x3FF, word >> 10 & 0x3FF) == tuple(entries[2:4])


@CARDS
def test_the_rss_table_is_written_two_queues_at_a_time(card: emu.Card) -> None:
    row = card.chip.tp.rss_rows - 1
    card.write(RSS, row << 20 | 7 << 10 | 5)
    assert request(card, RSS, 0xFFF00000 | row) & 0xFFFFF == 7 << 10 | 5


@CARDS
def test_a_functions_hashing_is_copied_to_tp_pio(card: emu.Card) -> None:
    def fetched(vf: int) -> list[int]:
        card.write(VRT, VF_READ | vf << 8)
        return [read_pio(card, index) for index in (VFL, VFH)]

    one, two = fetched(1), fetched(2)
    assert one != two
    assert fetched(1) == one


@CARDS
def test_a_functions_hashing_is_copied_from_tp_pio(card: emu.Card) -> None:
    for index, value in ((VFL, 0x1234), (VFH, 0x5678)):
        card.write(PIO_ADDR, index)
        card.write(PIO_DATA, value)
    card.write(VRT, VF_WRITE | 9 << 8)
    card.write(VRT, VF_READ | 8 << 8)
    assert read_pio(card, VFL) != 0x1234
    card.write(VRT, VF_READ | 9 << 8)
    assert [read_pio(card, index) for index in (VFL, VFH)] == [0x1234, 0x5678]


def read_pio(card: emu.Card, index: int) -> int:
    card.write(PIO_ADDR, index)
    return card.read(PIO_DATA)


@CARDS
def test_timers_range_from_a_delayed_ack_to_two_hours(card: emu.Card) -> None:
    resolution, cycles_per_ms = card.read(0x7D90), card.profile.card.core_clock
    keep_idle = card.read(0x7DA8) << (resolution >> 16 & 0xFF)
    delayed_ack = card.read(0x7DB4) << (resolution & 0xFF)
    assert keep_idle // cycles_per_ms == pytest.approx(7_200_000, rel=0.001)
    assert delayed_ack // cycles_per_ms == pytest.approx(40, abs=1)
    assert card.read(0x7DB0) < 1 << 16


def test_a_t5_has_half_as_many_rows_and_functions_as_a_t6() -> None:
    assert (T5.tp.rss_rows, T5.tp.rss_vfs) == (1024, 128)
    assert (T6.tp.rss_rows, T6.tp.rss_vfs) == (2048, 256)


def test_an_rss_row_that_never_becomes_valid_shows_its_request() -> None:
    card = emu.Card.load("t62100-cr", strict=True, faults=["rss-row-not-valid"])
    assert request(card, RSS, 0xFFF00001) == 0x7FF00001


def indexed(card: emu.Card, space: str, index: int) -> int:
    address, data = {
        "tp_pio": ("TP_PIO_ADDR", "TP_PIO_DATA"),
        "tp_mib": ("TP_MIB_INDEX", "TP_MIB_DATA"),
    }[space]
    card.write(card.chip.r[address], index)
    return card.read(card.chip.r[data])


@CARDS
def test_every_index_that_the_driver_reads_exists(card: emu.Card) -> None:
    for group in ("tp_pio", "tp_mib"):
        for part in card.chip.indirect(group):
            for index in part.indices:
                indexed(card, group, index)


@CARDS
def test_counters_agree_with_the_traffic(card: emu.Card) -> None:
    r, traffic = card.chip.r, card.scenario.traffic
    assert indexed(card, "tp_mib", r.TP_MIB_TCP_IN_SEG_LO) == traffic.tcp4.received & 0xFFFFFFFF
    assert indexed(card, "tp_mib", r.TP_MIB_TNL_CNG_DROP_1) == traffic.ports[1].received.drops
