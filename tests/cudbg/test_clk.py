"""CLK: the core clock and TCP's timers."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import codes, dumped

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u32s, u64s

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


def test_the_initial_round_trip_time_is_half_a_register() -> None:
    card = clock_card()
    card.put(0x7DB0, 0xFFFF0007)
    assert u64s(dumped(card, T6, "CLK")[1][48:56]) == (7 * TICK_US,)


def test_timers_have_more_than_32_bits() -> None:
    card = clock_card()
    card.put(0x7D9C, 0xFFFFFFFF)
    assert u64s(dumped(card, T6, "CLK")[1][8:16]) == (0xFFFFFFFF * TICK_US,)


def test_without_a_core_clock_nothing_is_read() -> None:
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
