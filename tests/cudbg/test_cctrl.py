"""CCTRL: the congestion control table."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import answers, dumped, writes

from vmcoredd.chip import T5, Chip
from vmcoredd.chip.layout import u16s

TABLE = 0x7DDC  # TP_CCTRL_TABLE


def test_rows_are_asked_for_by_mtu_and_window() -> None:
    card = RamCard()
    requests = writes(card, TABLE)
    entity, _ = dumped(card, T5, "CCTRL")
    assert requests == [0xFFFF0000 | mtu << 5 | window for mtu in range(16) for window in range(32)]
    assert entity.counts.total == 1024


def test_an_increment_is_the_low_thirteen_bits_of_its_row() -> None:
    card = RamCard()
    answers(card, TABLE, lambda value: 0xFFFFE000 | value & 0x1FF)
    assert u16s(dumped(card, T5, "CCTRL")[1]) == tuple(range(512))


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_window_grows_by_more_where_the_mtu_is_larger(chip: Chip) -> None:
    rows = collected(chip).table("CCTRL")
    assert [row["window"] for row in rows] == list(range(32))
    assert all(row["MTU 0"] <= row["MTU 15"] for row in rows)
    assert rows[0]["MTU 8"] == (1500 - 40) // 2  # alpha 1, two packets on average
