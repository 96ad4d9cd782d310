"""TP_LA: the logic analyser of the transport processor."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, writes

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.layout import u32s, u64s

CONFIG, DATA = 0x7ED4, 0x7ED8  # TP_DBG_LA_CONFIG, TP_DBG_LA_DATAL
ENABLE, COMPLETE = 1 << 12, 1 << 23
ALL_ONES = (1 << 64) - 1


def analyser(mode: int, pointer: int, flags: int = COMPLETE) -> tuple[RamCard, list[int]]:
    """A card, and what is written to its configuration; word i of the trace is i << 32 | i."""
    card, hardware = RamCard(), flags & COMPLETE | pointer << 16
    card.put(CONFIG, flags | mode << 14 | pointer << 16)
    written = writes(card, CONFIG)

    def configure(value: int) -> None:
        written.append(value)
        card.put(CONFIG, value & 0xFFFF | hardware)
        card.put(DATA, value & 0x7F)
        card.put(DATA + 4, value & 0x7F)

    card.on_write[CONFIG] = configure
    return card, written


def trace(blob: bytes) -> tuple[int, ...]:
    return tuple(word & 0x7F for word in u64s(blob[8:]))


def test_the_trace_begins_at_the_write_pointer_and_wraps() -> None:
    card, _ = analyser(mode=1, pointer=100)
    entity, blob = dumped(card, T6, "TP_LA")
    assert u32s(blob[:8]) == (0, 1)
    assert trace(blob) == (*range(100, 128), *range(100))
    assert (entity.counts.r32, entity.counts.w32, entity.counts.r64) == (3, 128, 128)


@pytest.mark.parametrize("mode", [2, 3])
def test_a_pair_that_is_half_written_is_left_out(mode: int) -> None:
    card, _ = analyser(mode, pointer=10, flags=0)
    _, blob = dumped(card, T6, "TP_LA")
    assert trace(blob)[:-1] == (*range(11, 128), *range(10))
    assert u64s(blob[8:])[-1] == ALL_ONES


def test_single_words_are_never_half_written() -> None:
    card, _ = analyser(mode=1, pointer=10, flags=0)
    assert trace(dumped(card, T6, "TP_LA")[1])[0] == 10


def test_an_analyser_that_runs_is_stopped_and_started_again() -> None:
    card, written = analyser(mode=1, pointer=0, flags=COMPLETE | ENABLE)
    entity, _ = dumped(card, T6, "TP_LA")
    control = 1 << 14
    assert written == [control, *(control | row for row in range(128)), control | ENABLE]
    assert entity.counts.total == 259 + 2


def test_an_analyser_that_rests_is_left_at_its_last_word() -> None:
    card, written = analyser(mode=0, pointer=0)
    dumped(card, T6, "TP_LA")
    assert written[-1] == 127


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_trace_is_shown_a_line_a_word(chip: Chip) -> None:
    made = collected(chip)
    (text,) = [part for part in made.dump.decode("TP_LA").json() if "text" in part]
    words = u64s(made.dump.raw("TP_LA")[8:])
    assert [int(line.split()[0], 16) for line in text["lines"]] == list(words)
    assert f"Tid={words[0] >> 32 & 0x3FF:#x}" in text["lines"][0]
