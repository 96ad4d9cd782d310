"""PBT_TABLE: four tables of the processor."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import CIM_BUSY, CIM_CTRL, cim, codes, dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s

TABLES = ((0x2800, 8), (0x2840, 16), (0x3000, 8), (0x3800, 512))


def test_the_tables_stand_one_behind_the_other_each_word_by_itself() -> None:
    card = RamCard()
    cim(card).update((address, address) for address in range(0, 0x5000, 4))
    entity, blob = dumped(card, T6, "PBT_TABLE")
    addresses = [start + 4 * i for start, words in TABLES for i in range(words)]
    assert u32s(blob) == tuple(addresses)
    assert entity.counts.total == 4 * 544


def test_a_busy_processor_fails_it() -> None:
    card = RamCard()
    card.put(CIM_CTRL, CIM_BUSY)
    assert codes(dumped(card, T5, "PBT_TABLE")[0]) == (-29, -16, 0)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_every_word_is_shown_with_its_table(chip: Chip) -> None:
    rows = collected(chip).table("PBT_TABLE")
    assert [row["table"] for row in rows[:9]] == ["pbt_dynamic"] * 8 + ["pbt_static"]
    assert rows[-1]["address"] == 0x3800 + 4 * 511
