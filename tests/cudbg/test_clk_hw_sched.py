"""CLK, HW_SCHED: TCP's timers and the transmit schedulers."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import answers, codes, dumped, indexed, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u32s, u64s

# CLK

RESOLUTION, DACK = 0x7D90, 0x7DB4
TIMERS = (0x7D98, 0x7D9C, 0x7DA0, 0x7DA4, 0x7DA8, 0x7DAC, 0x7DB0, 0x7DB8)
TICK_US, DACK_TICK_US = 20, 5  # 2^10 and 2^8 cycles of 20 ns


def clock_card() -> RamCard:
    card = RamCard()
    card.put(RESOLUTION, 10 << 16 | 8)
    card.put(DACK, 40)
    for i, timer in enumerate(TIMERS):
        card.put(timer, 1000 + i)
    return card


def test_timers_are_in_microseconds_of_a_50_mhz_clock() -> None:
    _, blob = dumped(clock_card(), T6, "CLK")
    assert u64s(blob[:64]) == tuple(TICK_US * (1000 + i) for i in range(8))
    words = u32s(blob[64:])
    assert words == (40 * DACK_TICK_US, 10 << 16 | 8, 20_000, 10, 8, 0)


def test_registers_are_read_in_the_kernels_order() -> None:
    card = clock_card()
    dumped(card, T6, "CLK")
    assert [offset for _, offset, _ in card.log] == [RESOLUTION, DACK, *TIMERS]


def test_the_initial_round_trip_time_is_half_of_a_register() -> None:
    card = clock_card()
    card.put(0x7DB0, 0xFFFF0007)
    assert u64s(dumped(card, T6, "CLK")[1][48:56]) == (7 * TICK_US,)


def test_timers_have_more_than_32_bits() -> None:
    card = clock_card()
    card.put(0x7D9C, 0xFFFFFFFF)
    assert u64s(dumped(card, T6, "CLK")[1][8:16]) == (0xFFFFFFFF * TICK_US,)


def test_clk_reads_nothing_without_a_core_clock() -> None:
    card = RamCard()
    entity, _ = dumped(card, T6, "CLK", cclk_khz=0)
    assert codes(entity) == (-32, 0, 0)
    assert card.log == []


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_card_shows_20_ns_a_cycle_and_sane_timers(chip: Chip) -> None:
    fields = collected(chip).fields("CLK")
    assert fields["core clock"] == 20
    assert 0 < fields["retransmit min"] < fields["retransmit max"]
    assert 0 < fields["persist timer min"] < fields["persist timer max"]


# HW_SCHED

MAP, CONFIG, PACE = 0x7E28, 0x7E24, 0x7DD8  # TP_TX_MOD_QUEUE_REQ_MAP, TP_MOD_CONFIG, ...
TM_ADDR, TM_DATA = 0x7E18, 0x7E1C
TIMER_MODE_SHIFT = 8


def test_rate_and_gap_of_two_schedulers_share_a_word() -> None:
    card = RamCard()
    indices = writes(card, TM_ADDR)
    entity, _ = dumped(card, T6, "HW_SCHED")
    assert indices == [8, 3, 8, 3, 7, 2, 7, 2, 6, 1, 6, 1, 5, 0, 5, 0]
    assert entity.counts.total == 50


def test_a_rate_follows_from_bytes_and_50_mhz_cycles_per_tick() -> None:
    card = RamCard()
    words = {8: 250 << 24 | 50 << 16 | 125 << 8 | 50, 7: 125 << 8}
    indexed(card, TM_ADDR, TM_DATA, lambda index: words.get(index, 0))
    kbps = u32s(dumped(card, T6, "HW_SCHED")[1])[:8]
    assert kbps == (1_000_000, 2_000_000, 0, 0, 0, 0, 0, 0)


def test_a_gap_is_in_tenths_of_nanoseconds() -> None:
    card = RamCard()
    indexed(card, TM_ADDR, TM_DATA, lambda index: 0x0002_0001 if index == 3 else 0)
    assert u32s(dumped(card, T6, "HW_SCHED")[1])[8:10] == (200, 400)


def test_pace_mode_and_map_follow() -> None:
    card = RamCard()
    card.put(MAP, 0xE4)
    card.put(CONFIG, 0xFFFF00FF | 0xA5 << TIMER_MODE_SHIFT)
    answers(card, PACE, lambda value: 50 * (value - 0xFFFF0000))
    words = u32s(dumped(card, T6, "HW_SCHED")[1])
    assert words[16:] == (0, 1, 2, 3, 4, 5, 6, 7, 0xA5, 0xE4)


def test_hw_sched_reads_nothing_without_a_core_clock() -> None:
    card = RamCard()
    entity, _ = dumped(card, T6, "HW_SCHED", cclk_khz=0)
    assert codes(entity) == (-32, 0, 0)
    assert card.log == []


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_eight_schedulers_are_shown_with_their_channels(chip: Chip) -> None:
    rows = collected(chip).table("HW_SCHED")
    assert [row["scheduler"] for row in rows] == list(range(8))
    assert {row["mode"] for row in rows} <= {"class", "flow"}
    assert any(row["rate in kbit/s"] for row in rows)
