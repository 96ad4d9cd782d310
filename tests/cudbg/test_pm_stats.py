"""PM_STATS: counters of the payload memory's managers."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, indexed

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s, u64s
from vmcoredd.cudbg.decoded import Text

TX = (0x8FE8, 0x8FEC, 0x8FF0, 0x8FF4, 0x1001A)  # config, count, debug control, debug data, word
RX = (0x8FC8, 0x8FCC, 0x8FD0, 0x8FD4, 0x10013)


def counting_card() -> RamCard:
    """Counter n is 100 n; its total has n in the upper word and -n in the lower."""
    card = RamCard()
    for config, count, control, data, word in (TX, RX):
        indexed(card, config, count, lambda n: 100 * n)

        def total(index: int, config: int = config, word: int = word) -> int:
            return {word: card.word(config), word + 1: -card.word(config) & 0xFFFFFFFF}[index]

        indexed(card, control, data, total)
    return card


@pytest.mark.parametrize(("chip", "counters"), [(T5, 5), (T6, 7)], ids=repr)
def test_counter_selection_starts_at_one_and_the_rest_is_zero(chip: Chip, counters: int) -> None:
    entity, blob = dumped(counting_card(), chip, "PM_STATS")
    numbers = [*range(1, counters + 1), *[0] * (7 - counters)]
    assert u32s(blob[:56]) == (*(100 * n for n in numbers), *(100 * n for n in numbers))
    totals = tuple((n << 32) + (-n & 0xFFFFFFFF) for n in numbers)
    assert u64s(blob[56:]) == totals + totals
    assert entity.counts.total == 12 * counters


@pytest.mark.parametrize("chip", CARDS, ids=repr)
@pytest.mark.parametrize("way", ["transmit", "receive"])
def test_a_card_shows_its_counters(chip: Chip, way: str) -> None:
    rows = collected(chip).table("PM_STATS", way)
    assert len(rows) == chip.memory.pm_stats
    assert all(row["bytes or cycles"] >= 64 * row["count"] > 0 for row in rows)


@pytest.mark.parametrize(("chip", "warns"), [(T5, True), (T6, False)], ids=repr)
def test_a_t5s_wait_for_the_fifo_has_a_caveat(chip: Chip, warns: bool) -> None:
    texts = [part for part in collected(chip).dump.decode("PM_STATS") if isinstance(part, Text)]
    assert bool(texts) == warns
    assert all("it tells nothing" in " ".join(text.lines) for text in texts)
