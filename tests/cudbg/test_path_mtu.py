"""PATH_MTU: the sixteen MTUs."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import answers, dumped, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u16s

TABLE = 0x7DE4  # TP_MTU_TABLE


def test_rows_are_asked_for_by_all_ones_above_their_number() -> None:
    card = RamCard()
    requests = writes(card, TABLE)
    entity, _ = dumped(card, T6, "PATH_MTU")
    assert requests == [0xFF000000 | row for row in range(16)]
    assert entity.counts.total == 32


def test_an_mtu_is_the_low_fourteen_bits_of_its_row() -> None:
    card = RamCard()
    answers(card, TABLE, lambda value: 0xFFFFC000 | (value & 0xFF) * 100)
    assert u16s(dumped(card, T6, "PATH_MTU")[1]) == tuple(range(0, 1600, 100))


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_card_has_the_mtus_that_the_driver_sets(chip: Chip) -> None:
    mtus = [row["MTU in bytes"] for row in collected(chip).table("PATH_MTU")]
    assert (mtus[0], mtus[8], mtus[-1]) == (88, 1500, 9600)
    assert mtus == sorted(mtus)
