"""RSS: the table that spreads packets over queues."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import answers, codes, dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u16s

TABLE, VALID = 0x7DEC, 1 << 31  # TP_RSS_LKP_TABLE
POLLS = 5


def rss_card(late_reads: int = 0) -> RamCard:
    """Row i holds queues i and i + 1; a row is valid after so many reads that it is not."""
    card, left = RamCard(), 0

    def request(value: int) -> int:
        nonlocal left
        assert value & 0xFFF00000 == 0xFFF00000
        left, row = late_reads, value & 0xFFF
        return (row + 1 & 0x3FF) << 10 | row & 0x3FF

    def read(stored: int) -> int:
        nonlocal left
        left -= 1
        return stored | (VALID if left < 0 else 0)

    answers(card, TABLE, request)
    card.on_read[TABLE] = read
    return card


@pytest.mark.parametrize(("chip", "rows"), [(T5, 1024), (T6, 2048)], ids=repr)
def test_a_row_of_the_table_has_two_queues_of_ten_bits(chip: Chip, rows: int) -> None:
    entity, blob = dumped(rss_card(), chip, "RSS")
    assert u16s(blob) == tuple(queue & 0x3FF for row in range(rows) for queue in (row, row + 1))
    assert entity.counts.total == 2 * rows


def test_a_row_may_take_five_reads_to_be_valid() -> None:
    entity, blob = dumped(rss_card(POLLS - 1), T5, "RSS")
    assert (entity.counts.w32, entity.counts.r32) == (1024, POLLS * 1024)
    assert blob == dumped(rss_card(), T5, "RSS")[1]


def test_a_row_that_is_not_valid_at_the_fifth_read_ends_the_entity() -> None:
    entity, _ = dumped(rss_card(POLLS), T6, "RSS")
    assert codes(entity) == (-29, -11, 0)
    assert (entity.counts.w32, entity.counts.r32) == (1, POLLS)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_each_port_has_a_slice_with_its_own_receive_queues(chip: Chip) -> None:
    made = collected(chip)
    table = [row[f"+{i}"] for row in made.table("RSS") for i in range(8)]
    queues = made.card.scenario.queues
    for port in range(made.card.profile.ports.count):
        slice_ = table[128 * port : 128 * (port + 1)]
        assert set(slice_) == {queue.id for queue in queues.received(port)}
