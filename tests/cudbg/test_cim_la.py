"""CIM_LA: the processor's logic analyser, behind a port behind a port."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import CIM_BUSY, CIM_CTRL, CIM_DATA, codes, dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s

CONFIG, DATA = 0x140, 0x144  # UP_UP_DBG_LA_CFG, _DATA
ENABLE, READ_ENABLE = 1, 2
WRITE = 1 << 16


class Analyser(RamCard):
    """Word p of the trace is p + 0x1000; the write pointer stands at `pointer`."""

    def __init__(self, pointer: int, flags: int = 0, *, hangs: bool = False) -> None:
        super().__init__()
        self.pointer, self.hangs = pointer, hangs
        self.config, self.data = flags, 0
        self.configured: list[int] = []
        self.on_write[CIM_CTRL] = self.answer

    def answer(self, request: int) -> None:
        if request == CONFIG | WRITE:
            self.configure(self.word(CIM_DATA))
        words = {CONFIG: self.config | self.pointer << 16, DATA: self.data}
        self.put(CIM_DATA, words[request & 0xFFF])

    def configure(self, value: int) -> None:
        self.configured.append(value)
        self.config = value & (ENABLE | (READ_ENABLE if self.hangs else 0))
        self.data = 0x1000 + (value >> 2 & 0xFFF)


def requested(card: Analyser) -> list[int]:
    return [value >> 2 & 0xFFF for value in card.configured if value & READ_ENABLE]


def test_a_t5_reads_2048_pointers_in_a_row_and_wraps() -> None:
    card = Analyser(0xFFE)
    entity, blob = dumped(card, T5, "CIM_LA")
    pointers = [(0xFFE + i) & 0xFFF for i in range(2048)]
    assert requested(card) == pointers
    assert u32s(blob) == (0xFFE << 16, *(0x1000 + pointer for pointer in pointers))
    assert entity.counts.total == 24588


def test_a_t6_reads_ten_pointers_of_each_sixteen_and_leaves_two_words_zero() -> None:
    card = Analyser(0xFF8)
    entity, blob = dumped(card, T6, "CIM_LA")
    assert requested(card)[:12] == [0xFF8, 0xFF9, *range(10)]
    assert requested(card)[12] == 0x10
    assert len(requested(card)) == 2048
    assert u32s(blob)[2049:] == (0, 0)
    assert entity.counts.total == 24588


def test_a_running_analyser_is_stopped_and_started_as_it_was() -> None:
    card = Analyser(0, ENABLE)
    entity, blob = dumped(card, T5, "CIM_LA")
    assert card.configured[0] == 0
    assert card.configured[-1] == ENABLE
    assert u32s(blob[:4]) == (ENABLE,)
    assert entity.good


def test_a_word_that_is_never_fetched_ends_the_entity() -> None:
    card = Analyser(0, hangs=True)
    entity, _ = dumped(card, T6, "CIM_LA")
    assert codes(entity) == (-29, -110, 0)
    assert entity.counts.w32 == 3 + 2 + 1  # the configuration, one request, its check
    assert requested(card) == [0]


def test_an_analyser_that_fails_is_started_again() -> None:
    card = Analyser(0, ENABLE, hangs=True)
    assert codes(dumped(card, T6, "CIM_LA")[0]) == (-29, -110, 0)
    assert card.configured[-1] == ENABLE


def test_a_busy_processor_is_left_alone() -> None:
    card = RamCard()
    card.put(CIM_CTRL, CIM_BUSY)
    assert codes(dumped(card, T5, "CIM_LA")[0]) == (-29, -16, 0)
    assert card.log == [("r", CIM_CTRL, 4)]


def test_a_processor_that_hangs_is_looked_at_five_times() -> None:
    card = RamCard()
    card.on_write[CIM_CTRL] = lambda request: card.put(CIM_CTRL, request | CIM_BUSY)
    entity, _ = dumped(card, T5, "CIM_LA")
    assert codes(entity) == (-29, -11, 0)
    assert (entity.counts.r32, entity.counts.w32) == (1 + 5, 1)


@pytest.mark.parametrize(("chip", "words"), [(T5, 8), (T6, 10)], ids=repr)
def test_a_line_of_the_trace_is_shown_as_what_the_processor_did(chip: Chip, words: int) -> None:
    made = collected(chip)
    rows, trace = made.table("CIM_LA", "trace"), u32s(made.dump.raw("CIM_LA"))[1:]
    assert len(rows) == 2048 // words
    line = trace[:words][::-1] if chip is T5 else trace[:words]
    number = sum(word << 32 * i for i, word in enumerate(line))
    counter = {T5: 164, T6: 208}[chip]
    assert rows[0]["PC"] == number >> counter & 0xFFFFFFFF


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_configuration_comes_first(chip: Chip) -> None:
    assert "UpDbgLaEn" in collected(chip).fields("CIM_LA")
