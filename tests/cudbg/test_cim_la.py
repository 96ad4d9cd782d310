"""CIM_LA, CIM_MA_LA, CIM_PIF_LA: the embedded processor's logic analysers."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected, rows
from ramcard import RamCard
from ramdump import CIM_BUSY, CIM_CTRL, CIM_DATA, codes, dumped, writes

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.entity import entities

# CIM_LA

LA_CONFIG, DATA = 0x140, 0x144  # UP_UP_DBG_LA_CFG, _DATA
LA_ENABLE, READ_ENABLE = 1, 2
WRITE = 1 << 16


class Analyser(RamCard):
    """Word p of the trace is p + 0x1000; the write pointer is `pointer`."""

    def __init__(self, pointer: int, flags: int = 0, *, hangs: bool = False) -> None:
        super().__init__()
        self.pointer, self.hangs = pointer, hangs
        self.config, self.data = flags, 0
        self.configured: list[int] = []
        self.on_write[CIM_CTRL] = self.answer

    def answer(self, request: int) -> None:
        if request == LA_CONFIG | WRITE:
            self.configure(self.word(CIM_DATA))
        words = {LA_CONFIG: self.config | self.pointer << 16, DATA: self.data}
        self.put(CIM_DATA, words[request & 0xFFF])

    def configure(self, value: int) -> None:
        self.configured.append(value)
        self.config = value & (LA_ENABLE | (READ_ENABLE if self.hangs else 0))
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


def test_a_running_cim_analyser_is_stopped_and_restarted() -> None:
    card = Analyser(0, LA_ENABLE)
    entity, blob = dumped(card, T5, "CIM_LA")
    assert card.configured[0] == 0
    assert card.configured[-1] == LA_ENABLE
    assert u32s(blob[:4]) == (LA_ENABLE,)
    assert entity.good


def test_a_word_that_is_never_fetched_fails_the_entity() -> None:
    card = Analyser(0, hangs=True)
    entity, _ = dumped(card, T6, "CIM_LA")
    assert codes(entity) == (-29, -110, 0)
    assert entity.counts.w32 == 3 + 2 + 1  # the configuration, one request, its check
    assert requested(card) == [0]


def test_an_analyser_that_fails_is_restarted() -> None:
    card = Analyser(0, LA_ENABLE, hangs=True)
    assert codes(dumped(card, T6, "CIM_LA")[0]) == (-29, -110, 0)
    assert card.configured[-1] == LA_ENABLE


def test_a_busy_processor_is_left_alone() -> None:
    card = RamCard()
    card.put(CIM_CTRL, CIM_BUSY)
    assert codes(dumped(card, T5, "CIM_LA")[0]) == (-29, -16, 0)
    assert card.log == [("r", CIM_CTRL, 4)]


def test_a_processor_that_hangs_is_polled_five_times() -> None:
    card = RamCard()
    card.on_write[CIM_CTRL] = lambda request: card.put(CIM_CTRL, request | CIM_BUSY)
    entity, _ = dumped(card, T5, "CIM_LA")
    assert codes(entity) == (-29, -11, 0)
    assert (entity.counts.r32, entity.counts.w32) == (1 + 5, 1)


@pytest.mark.parametrize(("chip", "words"), [(T5, 8), (T6, 10)], ids=repr)
def test_a_line_of_the_trace_is_decoded(chip: Chip, words: int) -> None:
    made = collected(chip)
    lines, trace = made.table("CIM_LA", "trace"), u32s(made.dump.raw("CIM_LA"))[1:]
    assert len(lines) == -(-2048 // words)
    line = trace[:words][::-1] if chip is T5 else trace[:words]
    number = sum(word << 32 * i for i, word in enumerate(line))
    counter = {T5: 164, T6: 208}[chip]
    assert lines[0]["PC"] == number >> counter & 0xFFFFFFFF


def test_what_the_driver_reads_of_the_last_line_of_a_t6_is_shown() -> None:
    last = collected(T6).table("CIM_LA", "trace")[-1]
    assert last == {
        "Status": None,
        "Inst": None,
        "Data": None,
        "PC": 0x8FE28B7D,
        "LS0Stat": 0x17A02E7B,
        "LS0Addr": 0x7FC61B36,
        "LS0Data": 0x4C974B53,
        "LS1Stat": 0xAF207A96,
        "LS1Addr": 0x6374819E,
        "LS1Data": 0xFE12A6A0,
    }


def test_the_program_counters_of_a_line_are_in_the_order_of_debugfs() -> None:
    raw = bytearray(collected(T6).dump.raw("CIM_LA"))
    config = u32s(raw[:4])[0] | T6.r.UP_UP_DBG_LA_CFG.mask("UpDbgLaCaptPCOnly")
    raw[:4] = config.to_bytes(4, "little")
    counters = rows(entities()["CIM_LA"].decode(bytes(raw), T6), "trace")
    assert [*counters[0].values()] == [0x21, 0x3106600E, 0x9401AB8E, 0xC799422C]
    assert [*counters[2].values()] == [0x01, 0x952449DB, 0x63BE61A2, 0x1F483B0F]
    assert len(counters) == 3 * 205


def test_the_trace_of_an_older_kernel_with_more_room_than_words_is_decoded() -> None:
    raw = collected(T6).dump.raw("CIM_LA")
    longer = raw.ljust(9024, b"\0")
    decoded = entities()["CIM_LA"].decode(longer, T6)
    assert rows(decoded, "trace") == collected(T6).table("CIM_LA", "trace")


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_configuration_comes_first(chip: Chip) -> None:
    assert "UpDbgLaEn" in collected(chip).fields("CIM_LA")


# CIM_MA_LA, CIM_PIF_LA: the interfaces, out and in

INTERFACE_LA_CONFIG, STATUS = 0x7B70, 0x7B74  # CIM_DEBUGCFG, CIM_DEBUGSTS
OUT, IN, MEMORY_OUT, MEMORY_IN = 0x7B78, 0x7B7C, 0x7B80, 0x7B84
INTERFACE_LA_ENABLE = 1 << 12
REQUEST, RESPONSE = 1 << 16, 2 << 16
NAMES = ["CIM_MA_LA", "CIM_PIF_LA"]


def analysers(flags: int = 0, out: int = 0, in_: int = 0) -> RamCard:
    """Returns a card whose trace words hold their pointers; the write pointers are given."""
    card = RamCard()
    card.put(INTERFACE_LA_CONFIG, flags)
    card.put(STATUS, out << 16 | in_)

    def select(value: int) -> None:
        for outgoing, incoming in ((OUT, IN), (MEMORY_OUT, MEMORY_IN)):
            card.put(outgoing, REQUEST | value >> 23)
            card.put(incoming, RESPONSE | value >> 14 & 0x1FF)

    card.on_write[INTERFACE_LA_CONFIG] = select
    return card


def test_requests_to_memory_overwrite_all_but_the_last_80_responses() -> None:
    entity, blob = dumped(analysers(), T5, "CIM_MA_LA")
    pointers = [8 * entry + word for entry in range(64) for word in range(5)]
    words = u32s(blob)
    assert words[:320] == tuple(REQUEST | pointer for pointer in pointers)
    assert words[320:400] == tuple(RESPONSE | pointer for pointer in pointers[240:])
    assert words[400:] == (0,) * 240
    assert entity.counts.total == 962


def test_the_interface_traces_begin_at_the_write_pointers() -> None:
    entity, blob = dumped(analysers(out=0x1F8, in_=8), T6, "CIM_PIF_LA")
    words = u32s(blob)
    assert words[0] == 64
    out = [(0x1F8 + 8 * entry) % 512 + word for entry in range(64) for word in range(6)]
    in_ = [(8 + 8 * entry) % 512 + word for entry in range(64) for word in range(6)]
    assert words[1:385] == tuple(REQUEST | pointer for pointer in out)
    assert words[385:] == tuple(RESPONSE | pointer for pointer in in_)
    assert entity.counts.total == 1155


@pytest.mark.parametrize("name", NAMES)
def test_running_analysers_are_stopped_and_restarted(name: str) -> None:
    card = analysers(INTERFACE_LA_ENABLE | 1)
    written = writes(card, INTERFACE_LA_CONFIG)
    entity, _ = dumped(card, T6, name)
    assert (written[0], written[-1]) == (1, INTERFACE_LA_ENABLE | 1)
    assert entity.good


@pytest.mark.parametrize("name", NAMES)
def test_stopped_analysers_get_their_pointers_back(name: str) -> None:
    card = analysers(1)
    written = writes(card, INTERFACE_LA_CONFIG)
    dumped(card, T6, name)
    assert written[-1] == 1
    assert not any(value & INTERFACE_LA_ENABLE for value in written)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_entries_are_shown_as_requests_and_responses(chip: Chip) -> None:
    made = collected(chip)
    words = u32s(made.dump.raw("CIM_PIF_LA"))
    requests = made.table("CIM_PIF_LA", "requests")
    assert len(requests) == len(made.table("CIM_PIF_LA", "responses")) == 64
    assert requests[0]["Addr"] == words[5]
    assert len(made.table("CIM_MA_LA", "requests")) == 64
    assert len(made.table("CIM_MA_LA", "responses")) == 16


def test_a_response_of_memory_has_the_fields_of_debugfs() -> None:
    response = collected(T6).table("CIM_MA_LA", "responses")[0]
    assert response == {
        "response": 48,
        "Cnt": 252,
        "ID": 2,
        "Tag": 0xE,
        "UE": 1,
        "Data": 0xE3B46DF45348EBF6,
        "RDY": 0,
        "VLD": 1,
    }
