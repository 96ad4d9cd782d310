"""TP_LA, ULPRX_LA, ULPTX_LA: logic analysers of the transport processor and of ULP."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, writes

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s, u64s
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import UnknownFormat

# TP_LA

CONFIG, TP_LA_DATA = 0x7ED4, 0x7ED8  # TP_DBG_LA_CONFIG, TP_DBG_LA_DATAL
ENABLE, COMPLETE = 1 << 12, 1 << 23
ALL_ONES = (1 << 64) - 1


def analyser(mode: int, pointer: int, flags: int = COMPLETE) -> tuple[RamCard, list[int]]:
    """A card and the values written to its configuration. Word i of the trace is i << 32 | i."""
    card, hardware = RamCard(), flags & COMPLETE | pointer << 16
    card.put(CONFIG, flags | mode << 14 | pointer << 16)
    written = writes(card, CONFIG)

    def configure(value: int) -> None:
        written.append(value)
        card.put(CONFIG, value & 0xFFFF | hardware)
        card.put(TP_LA_DATA, value & 0x7F)
        card.put(TP_LA_DATA + 4, value & 0x7F)

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
def test_a_half_written_pair_is_left_out(mode: int) -> None:
    card, _ = analyser(mode, pointer=10, flags=0)
    _, blob = dumped(card, T6, "TP_LA")
    assert trace(blob)[:-1] == (*range(11, 128), *range(10))
    assert u64s(blob[8:])[-1] == ALL_ONES


def test_single_words_are_never_half_written() -> None:
    card, _ = analyser(mode=1, pointer=10, flags=0)
    assert trace(dumped(card, T6, "TP_LA")[1])[0] == 10


def test_a_running_analyser_is_stopped_and_restarted() -> None:
    card, written = analyser(mode=1, pointer=0, flags=COMPLETE | ENABLE)
    entity, _ = dumped(card, T6, "TP_LA")
    control = 1 << 14
    assert written == [control, *(control | row for row in range(128)), control | ENABLE]
    assert entity.counts.total == 259 + 2


def test_a_stopped_analyser_is_left_at_its_last_word() -> None:
    card, written = analyser(mode=0, pointer=0)
    dumped(card, T6, "TP_LA")
    assert written[-1] == 127


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_trace_is_shown_with_one_line_per_word(chip: Chip) -> None:
    made = collected(chip)
    (text,) = [part for part in made.dump.decode("TP_LA").json() if "text" in part]
    words = u64s(made.dump.raw("TP_LA")[8:])
    assert [int(line.split()[0], 16) for line in text["lines"]] == list(words)
    assert f"Tid={words[0] >> 32 & 0x3FF:#x}" in text["lines"][0]


@pytest.mark.parametrize(("mode", "lines"), [(0, 128), (1, 128), (2, 127), (3, 127)])
def test_a_last_word_of_ones_is_incomplete_only_where_words_come_in_pairs(
    mode: int, lines: int
) -> None:
    raw = bytearray(collected(T6).dump.raw("TP_LA"))
    raw[4:8] = mode.to_bytes(4, "little")
    raw[-8:] = b"\xff" * 8
    *_, text = entities()["TP_LA"].decode(bytes(raw), T6)
    assert len(text.json()["lines"]) == lines


# ULPRX_LA

SELECT, READ_POINTER, WRITE_POINTER, ULPRX_LA_DATA = 0x1923C, 0x19240, 0x19248, 0x19244


def tracing_card(oldest: int) -> RamCard:
    """Word w of trace t is t << 16 | w; reading a word advances the read pointer."""
    card = RamCard()
    card.on_write[SELECT] = lambda trace: card.put(WRITE_POINTER, (oldest + trace) % 512)

    def read(stored: int) -> int:
        word = card.word(READ_POINTER)
        card.put(READ_POINTER, (word + 1) % 512)
        return card.word(SELECT) << 16 | word

    card.on_read[ULPRX_LA_DATA] = read
    return card


def test_every_trace_begins_at_its_own_write_pointer() -> None:
    entity, blob = dumped(tracing_card(500), T5, "ULPRX_LA")
    words = u32s(blob)
    for trace in range(8):
        expected = tuple(trace << 16 | (500 + trace + i) % 512 for i in range(512))
        assert words[trace:4096:8] == expected
    assert words[4096:] == (512,)
    assert entity.counts.total == 4120


def test_each_word_is_read_only_once() -> None:
    card = tracing_card(0)
    dumped(card, T5, "ULPRX_LA")
    assert card.log.count(("r", ULPRX_LA_DATA, 4)) == 8 * 512


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_line_shows_command_type_message_and_data(chip: Chip) -> None:
    made = collected(chip)
    rows, words = made.table("ULPRX_LA"), u32s(made.dump.raw("ULPRX_LA"))
    assert len(rows) == 512
    assert rows[0]["PCMD"] == words[1] << 32 | words[0]
    assert (rows[0]["type"], rows[0]["message"]) == words[2:4]
    assert rows[0]["data"] == sum(word << 32 * i for i, word in enumerate(words[4:8]))


# ULPTX_LA

FIRST, STRIDE, INSTANCES, READS = 0x8EC0, 0x10, 11, 512  # ULP_TX_LA_RDPTR_0
STROBE, DEBUG, PM_RX_CFG = 0x8F70, 0x8F74, 0x8FC0
RDPTR, WRPTR, RDDATA, RD_DATA, ASIC_CTRL, ASIC = 0, 11, 22, 33, 5665, 5793  # words
HEAD_BYTES = 8


def body(blob: bytes) -> tuple[int, ...]:
    return u32s(blob[HEAD_BYTES:])


def counting(card: RamCard, register: int, first: int) -> None:
    """Every read returns the next number."""
    numbers = iter(range(first, 1 << 32))
    card.on_read[register] = lambda stored: next(numbers)


def test_pointers_and_513_words_of_every_instance_are_read() -> None:
    card = RamCard()
    for i in range(INSTANCES):
        card.put(FIRST + STRIDE * i, 100 + i)
        card.put(FIRST + STRIDE * i + 8, 200 + i)
        counting(card, FIRST + STRIDE * i + 4, i << 16)
    entity, blob = dumped(card, T6, "ULPTX_LA")
    words = body(blob)
    assert words[RDPTR : RDPTR + INSTANCES] == tuple(range(100, 111))
    assert words[WRPTR : WRPTR + INSTANCES] == tuple(range(200, 211))
    assert words[RDDATA : RDDATA + INSTANCES] == tuple(i << 16 for i in range(INSTANCES))
    for i in range(INSTANCES):
        trace = words[RD_DATA + READS * i : RD_DATA + READS * (i + 1)]
        assert trace == tuple((i << 16) + 1 + n for n in range(READS))
    assert entity.counts.total == 6689


def test_each_strobe_gives_seven_words_and_the_last_is_another_blocks() -> None:
    card, strobes = RamCard(), 0

    def latch(value: int) -> None:
        nonlocal strobes
        strobes += 1
        for i in range(5):
            card.put(DEBUG + 4 * i, strobes << 8 | i)

    card.on_write[STROBE] = latch
    card.put(PM_RX_CFG, 0xABCD)
    words = body(dumped(card, T6, "ULPTX_LA")[1])
    assert words[ASIC_CTRL : ASIC_CTRL + 128] == (1,) * 128
    assert words[ASIC : ASIC + 6] == (0x100, 0x101, 0x102, 0x103, 0x104, 0xABCD)
    assert words[ASIC + 6 * 127 : ASIC + 6 * 128 - 1] == tuple(0x8000 | i for i in range(5))


def test_the_strobe_writes_the_value_1() -> None:
    card = RamCard()
    strobes = writes(card, STROBE)
    dumped(card, T6, "ULPTX_LA")
    assert strobes == [1] * 128


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_instances_words_and_debug_words_are_shown(chip: Chip) -> None:
    made = collected(chip)
    words = body(made.dump.raw("ULPTX_LA"))
    instances = made.table("ULPTX_LA", "analysers")
    assert [row["RDPTR"] for row in instances] == list(words[:INSTANCES])
    steps = made.table("ULPTX_LA", "ULP TX trace")
    assert [row["LA 10"] for row in steps] == list(words[RD_DATA + 10 * READS : ASIC_CTRL])
    asic = made.table("ULPTX_LA", "ASIC")
    assert len(asic) == 128
    assert {row["PM_RX_CFG"] for row in asic} == {words[ASIC + 5]}


def test_another_revision_is_refused() -> None:
    blob = bytearray(collected(T6).dump.raw("ULPTX_LA"))
    blob[4] = 2
    with pytest.raises(UnknownFormat, match="ULPTX_LA: revision 2, known is 1"):
        entities()["ULPTX_LA"].decode(bytes(blob), T6)
