"""HW_SCHED: the transmit schedulers."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import answers, codes, dumped, index_port, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u32s

MAP, CONFIG, PACE = 0x7E28, 0x7E24, 0x7DD8  # TP_TX_MOD_QUEUE_REQ_MAP, TP_MOD_CONFIG, ...
TM_ADDR, TM_DATA = 0x7E18, 0x7E1C
TIMER_MODE_SHIFT = 8


def test_rate_and_gap_of_two_schedulers_share_a_word() -> None:
    card = RamCard()
    indices = writes(card, TM_ADDR)
    entity, _ = dumped(card, T6, "HW_SCHED")
    assert indices == [8, 3, 8, 3, 7, 2, 7, 2, 6, 1, 6, 1, 5, 0, 5, 0]
    assert entity.counts.total == 50


def test_a_rate_is_bytes_each_so_many_cycles_of_50_mhz() -> None:
    card = RamCard()
    words = {8: 250 << 24 | 50 << 16 | 125 << 8 | 50, 7: 125 << 8}
    index_port(card, TM_ADDR, TM_DATA, lambda index: words.get(index, 0))
    kbps = u32s(dumped(card, T6, "HW_SCHED")[1])[:8]
    assert kbps == (1_000_000, 2_000_000, 0, 0, 0, 0, 0, 0)


def test_a_gap_is_in_tenths_of_nanoseconds() -> None:
    card = RamCard()
    index_port(card, TM_ADDR, TM_DATA, lambda index: 0x0002_0001 if index == 3 else 0)
    assert u32s(dumped(card, T6, "HW_SCHED")[1])[8:10] == (200, 400)


def test_pace_mode_and_map_follow() -> None:
    card = RamCard()
    card.put(MAP, 0xE4)
    card.put(CONFIG, 0xFFFF00FF | 0xA5 << TIMER_MODE_SHIFT)
    answers(card, PACE, lambda value: 50 * (value - 0xFFFF0000))
    words = u32s(dumped(card, T6, "HW_SCHED")[1])
    assert words[16:] == (0, 1, 2, 3, 4, 5, 6, 7, 0xA5, 0xE4)


def test_without_a_core_clock_nothing_is_read() -> None:
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
