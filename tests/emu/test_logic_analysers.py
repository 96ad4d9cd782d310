"""The logic analysers of CIM, TP, ULP_RX and ULP_TX."""

from __future__ import annotations

import pytest

from vmcoredd import emu

CIM_CTRL, CIM_DATA, CIM_WRITE = 0x7B50, 0x7B54, 1 << 16
LA_CONFIG, LA_DATA, ENABLE, READ_ENABLE = 0x140, 0x144, 1, 2
DEBUG_CONFIG, DEBUG_STATUS, OUT, IN = 0x7B70, 0x7B74, 0x7B78, 0x7B7C
TP_CONFIG, TP_DATA, TP_ENABLE = 0x7ED4, 0x7ED8, 1 << 12
RX_SELECT, RX_POINTER, RX_DATA, RX_WRITE = 0x1923C, 0x19240, 0x19244, 0x19248
TX_POINTER, TX_DATA, TX_WRITE, STRIDE = 0x8EC0, 0x8EC4, 0x8EC8, 0x10
STROBE, DEBUG = 0x8F70, 0x8F74
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> emu.Card:
    return emu.Card.load(request.param, strict=True, memory=SMALL)


def cim_read(card: emu.Card, address: int) -> int:
    card.write(CIM_CTRL, address)
    return card.read(CIM_DATA)


def cim_write(card: emu.Card, address: int, value: int) -> None:
    card.write(CIM_DATA, value)
    card.write(CIM_CTRL, address | CIM_WRITE)


def cim_word(card: emu.Card, pointer: int) -> int:
    cim_write(card, LA_CONFIG, pointer << 2 | READ_ENABLE)
    assert not cim_read(card, LA_CONFIG) & READ_ENABLE
    return cim_read(card, LA_DATA)


def test_a_read_pointer_fetches_a_word_of_the_processors_trace(card: emu.Card) -> None:
    words = [cim_word(card, pointer) for pointer in (0, 1, 0xFFF)]
    assert len(set(words)) == 3
    assert words == [cim_word(card, pointer) for pointer in (0, 1, 0xFFF)]


def test_a_pointer_without_read_enable_fetches_nothing(card: emu.Card) -> None:
    word = cim_word(card, 5)
    cim_write(card, LA_CONFIG, 6 << 2)
    assert cim_read(card, LA_DATA) == word


def test_no_write_moves_the_processors_write_pointer(card: emu.Card) -> None:
    pointer = cim_read(card, LA_CONFIG) >> 16 & 0xFFF
    cim_write(card, LA_CONFIG, 0xFFFFFFFF)
    assert cim_read(card, LA_CONFIG) >> 16 & 0xFFF == pointer


def test_each_interface_shows_the_word_at_its_read_pointer(card: emu.Card) -> None:
    def pair(out: int, in_: int) -> tuple[int, int]:
        card.write(DEBUG_CONFIG, out << 23 | in_ << 14)
        return card.read(OUT), card.read(IN)

    first, second = pair(1, 2), pair(2, 1)
    assert pair(1, 1) == (first[0], second[1])
    assert pair(2, 2) == (second[0], first[1])


def test_an_interfaces_write_pointer_is_a_multiple_of_8(card: emu.Card) -> None:
    status = card.read(DEBUG_STATUS)
    assert (status >> 16 & 0x1FF) % 8 == (status & 0x1FF) % 8 == 0


def test_tps_read_pointer_selects_64_bits_that_reads_do_not_change(card: emu.Card) -> None:
    def word(pointer: int) -> int:
        card.write(TP_CONFIG, pointer)
        return card.read(TP_DATA, 8)

    assert word(1) == card.read(TP_DATA, 8) != word(2)
    card.write(TP_CONFIG, 1)
    assert card.read(TP_DATA) | card.read(TP_DATA + 4) << 32 == word(1)


def test_no_write_moves_tps_write_pointer(card: emu.Card) -> None:
    before = card.read(TP_CONFIG) >> 16 & 0xFF
    card.write(TP_CONFIG, 0x00FF0005)
    assert card.read(TP_CONFIG) >> 16 & 0xFF == before
    assert card.read(TP_CONFIG) & 0x7F == 5


def test_reading_a_word_of_ulp_rx_advances_its_pointer_which_wraps(card: emu.Card) -> None:
    card.write(RX_SELECT, 3)
    card.write(RX_POINTER, 510)
    words = [card.read(RX_DATA) for _ in range(514)]
    assert words[:2] == words[512:]
    assert card.read(RX_POINTER) == (510 + 514) % 512


def test_ulp_rx_has_eight_traces_with_write_pointers(card: emu.Card) -> None:
    first = []
    for trace in range(8):
        card.write(RX_SELECT, trace)
        card.write(RX_POINTER, 0)
        assert card.read(RX_WRITE) < 512
        first.append(tuple(card.read(RX_DATA) for _ in range(8)))
    assert len(set(first)) == 8


def test_ulp_rx_shows_the_same_trace_twice(card: emu.Card) -> None:
    def trace() -> list[int]:
        card.write(RX_SELECT, 0)
        card.write(RX_POINTER, card.read(RX_WRITE))
        return [card.read(RX_DATA) for _ in range(512)]

    assert trace() == trace()


@pytest.mark.parametrize("instance", [0, 10])
def test_reading_a_word_of_ulp_tx_advances_the_instances_pointer(
    card: emu.Card, instance: int
) -> None:
    at = STRIDE * instance
    pointer = card.read(TX_POINTER + at)
    words = [card.read(TX_DATA + at) for _ in range(513)]
    assert words[0] == words[512]
    assert card.read(TX_POINTER + at) == (pointer + 513) % 512
    assert card.read(TX_WRITE + at) < 512


def test_the_pointers_of_ulp_tx_move_independently(card: emu.Card) -> None:
    others = [card.read(TX_POINTER + STRIDE * i) for i in range(1, 11)]
    card.read(TX_DATA)
    assert [card.read(TX_POINTER + STRIDE * i) for i in range(1, 11)] == others


def test_writing_1_latches_the_next_debug_words_and_0_does_not(card: emu.Card) -> None:
    def words() -> list[int]:
        return [card.read(DEBUG + 4 * i) for i in range(5)]

    card.write(STROBE, 1)
    first = words()
    card.write(STROBE, 0)
    assert words() == first
    card.write(STROBE, 1)
    assert words() != first


def test_debug_words_repeat_after_128_strobes(card: emu.Card) -> None:
    card.write(STROBE, 1)
    first = card.read(DEBUG)
    for _ in range(128):
        card.write(STROBE, 1)
    assert card.read(DEBUG) == first


def test_a_snapshot_includes_the_count_of_strobes(card: emu.Card) -> None:
    saved = card.snapshot()
    card.write(STROBE, 1)
    first = card.read(DEBUG)
    card.restore(saved)
    card.write(STROBE, 1)
    assert card.read(DEBUG) == first


def test_faults_make_analysers_run() -> None:
    faults = ["cim-la-runs", "cim-interface-la-runs", "tp-la-runs"]
    card = emu.Card.load("t62100-cr", strict=True, faults=faults)
    assert cim_read(card, LA_CONFIG) & ENABLE
    assert card.read(DEBUG_CONFIG) & 1 << 12
    assert card.read(TP_CONFIG) & TP_ENABLE


def test_a_hung_analyser_never_fetches_a_word() -> None:
    card = emu.Card.load("t62100-cr", strict=True, faults=["cim-la-hangs"])
    cim_write(card, LA_CONFIG, 7 << 2 | READ_ENABLE)
    assert cim_read(card, LA_CONFIG) & READ_ENABLE
