"""PL's identity, PM's counters, and the debug words of PCIE, MA and HMA."""

from __future__ import annotations

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6

PAIRS = {"pdbg": (0x5A04, 0x5A0C), "cdbg": (0x5A10, 0x5A18), "ma": (0x78F8, 0x78FC)}
HMA = (0x51320, 0x51324)
PM = {"RX": (0x8FC8, 0x8FCC, 0x8FD0, 0x8FD4), "TX": (0x8FE8, 0x8FEC, 0x8FF0, 0x8FF4)}
TOTAL = {"RX": 0x10013, "TX": 0x1001A}


@pytest.fixture(scope="module", params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> emu.Card:
    return emu.Card.load(request.param, strict=True)


def test_the_host_sees_pf4(card: emu.Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    assert whoami.get(card.read(whoami), "SourcePF") == 4
    assert card.read(card.chip.r.PL_REV) & 0xF == card.profile.card.revision


def test_a_function_sees_its_own_registers_at_two_addresses(card: emu.Card) -> None:
    r = card.chip.r
    card.write(r.MYPF_PL_PF_INT_ENABLE, 3)
    assert card.read(r.PL_PF_INT_ENABLE[4]) == 3
    card.write(r.PL_PF_INT_ENABLE[4], 0)
    assert card.read(r.MYPF_PL_PF_INT_ENABLE) == 0


def indexed(card: emu.Card, pair: tuple[int, int], index: int) -> int:
    card.write(pair[0], index)
    assert card.read(pair[0]) == index
    return card.read(pair[1])


def count(card: emu.Card, side: str, counter: int) -> tuple[int, int]:
    """Reads a counter and its 64-bit total."""
    config, data, control, debug = PM[side]
    value = indexed(card, (config, data), counter)
    high, low = (indexed(card, (control, debug), TOTAL[side] + i) for i in (0, 1))
    return value, high << 32 | low


@pytest.mark.parametrize("side", PM)
def test_each_counter_comes_with_its_total(card: emu.Card, side: str) -> None:
    counts = [count(card, side, counter) for counter in range(1, card.chip.memory.pm_stats + 1)]
    assert all(total >= 64 * value > 0 for value, total in counts)
    assert count(card, side, 1) == counts[0]
    assert count(card, side, 0) == (0, 0)


def test_receive_and_transmit_have_their_own_counters(card: emu.Card) -> None:
    receive = count(card, "RX", 1)
    transmit = count(card, "TX", 2)
    assert count(card, "RX", 1) == receive
    assert count(card, "TX", 2) == transmit != count(card, "TX", 1)


@pytest.mark.parametrize("name", ["pdbg", "cdbg"])
def test_a_debug_word_is_the_same_each_time(card: emu.Card, name: str) -> None:
    words = [indexed(card, PAIRS[name], index) for index in range(0x21, 0x39)]
    assert len(set(words)) > 12
    assert words == [indexed(card, PAIRS[name], index) for index in range(0x21, 0x39)]


def test_an_index_stays_selected(card: emu.Card) -> None:
    word = indexed(card, PAIRS["pdbg"], 3)
    assert card.read(PAIRS["pdbg"][1]) == word


def test_only_a_t6_has_debug_words_of_ma_and_hma() -> None:
    card = emu.Card.load("t62100-cr", strict=True)
    assert any(indexed(card, PAIRS["ma"], index) for index in range(0xA000, 0xA017))
    assert any(indexed(card, HMA, index) for index in range(0xA000, 0xA020))
    assert T6.indirect("ma")
    assert not T5.indirect("ma") + T5.indirect("hma")


def test_another_seed_gives_other_counters() -> None:
    one, other = (emu.Card.load("t520-cr", seed=seed) for seed in (1, 2))
    assert count(one, "RX", 1) != count(other, "RX", 1)
    assert count(one, "RX", 1) == count(emu.Card.load("t520-cr", seed=1), "RX", 1)
