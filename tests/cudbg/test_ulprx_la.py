"""ULPRX_LA: eight traces side by side."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped

from vmcoredd.chip import T5, Chip
from vmcoredd.chip.layout import u32s

SELECT, READ_POINTER, WRITE_POINTER, DATA = 0x1923C, 0x19240, 0x19248, 0x19244


def tracing_card(oldest: int) -> RamCard:
    """Word w of trace t is t << 16 | w; reading a word moves the read pointer on."""
    card = RamCard()
    card.on_write[SELECT] = lambda trace: card.put(WRITE_POINTER, (oldest + trace) % 512)

    def read(stored: int) -> int:
        word = card.word(READ_POINTER)
        card.put(READ_POINTER, (word + 1) % 512)
        return card.word(SELECT) << 16 | word

    card.on_read[DATA] = read
    return card


def test_every_trace_begins_at_its_own_write_pointer() -> None:
    entity, blob = dumped(tracing_card(500), T5, "ULPRX_LA")
    words = u32s(blob)
    for trace in range(8):
        expected = tuple(trace << 16 | (500 + trace + i) % 512 for i in range(512))
        assert words[trace:4096:8] == expected
    assert words[4096:] == (512,)
    assert entity.counts.total == 4120


def test_a_word_is_read_no_oftener_than_it_is_stored() -> None:
    card = tracing_card(0)
    dumped(card, T5, "ULPRX_LA")
    assert card.log.count(("r", DATA, 4)) == 8 * 512


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_line_shows_command_type_message_and_data(chip: Chip) -> None:
    made = collected(chip)
    rows, words = made.table("ULPRX_LA"), u32s(made.dump.raw("ULPRX_LA"))
    assert len(rows) == 512
    assert rows[0]["PCMD"] == words[1] << 32 | words[0]
    assert (rows[0]["type"], rows[0]["message"]) == words[2:4]
    assert rows[0]["data"] == sum(word << 32 * i for i, word in enumerate(words[4:8]))
