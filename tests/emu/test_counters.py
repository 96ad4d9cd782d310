"""Counters and debug words behind index ports: PM, PCIe, memory arbiter, host memory agent."""

from __future__ import annotations

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6

PORTS = {"pdbg": (0x5A04, 0x5A0C), "cdbg": (0x5A10, 0x5A18), "ma": (0x78F8, 0x78FC)}
HMA = (0x51320, 0x51324)
PM = {"RX": (0x8FC8, 0x8FCC, 0x8FD0, 0x8FD4), "TX": (0x8FE8, 0x8FEC, 0x8FF0, 0x8FF4)}
TOTAL = {"RX": 0x10013, "TX": 0x1001A}


@pytest.fixture(scope="module", params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> emu.Card:
    return emu.Card.load(request.param, strict=True)


def indexed(card: emu.Card, port: tuple[int, int], index: int) -> int:
    card.write(port[0], index)
    assert card.read(port[0]) == index
    return card.read(port[1])


def count(card: emu.Card, side: str, counter: int) -> tuple[int, int]:
    """A counter, and its total of 64 bits."""
    config, data, control, debug = PM[side]
    value = indexed(card, (config, data), counter)
    high, low = (indexed(card, (control, debug), TOTAL[side] + i) for i in (0, 1))
    return value, high << 32 | low


@pytest.mark.parametrize("side", PM)
def test_a_counter_is_selected_from_one_on_with_its_total(card: emu.Card, side: str) -> None:
    counts = [count(card, side, counter) for counter in range(1, card.chip.memory.pm_stats + 1)]
    assert all(total >= 64 * value > 0 for value, total in counts)
    assert count(card, side, 1) == counts[0]
    assert count(card, side, 0) == (0, 0)


def test_the_sides_count_apart(card: emu.Card) -> None:
    receive = count(card, "RX", 1)
    transmit = count(card, "TX", 2)
    assert count(card, "RX", 1) == receive
    assert count(card, "TX", 2) == transmit != count(card, "TX", 1)


@pytest.mark.parametrize("port", ["pdbg", "cdbg"])
def test_a_debug_word_is_the_same_whenever_its_index_is_written(card: emu.Card, port: str) -> None:
    words = [indexed(card, PORTS[port], index) for index in range(0x21, 0x39)]
    assert len(set(words)) > 12
    assert words == [indexed(card, PORTS[port], index) for index in range(0x21, 0x39)]


def test_an_index_stays_until_another_is_written(card: emu.Card) -> None:
    word = indexed(card, PORTS["pdbg"], 3)
    assert card.read(PORTS["pdbg"][1]) == word


def test_only_a_t6_shows_debug_words_of_its_memory_arbiter_and_host_memory_agent() -> None:
    card = emu.Card.load("t62100-cr", strict=True)
    assert any(indexed(card, PORTS["ma"], index) for index in range(0xA000, 0xA017))
    assert any(indexed(card, HMA, index) for index in range(0xA000, 0xA020))
    assert T6.indirect("ma")
    assert not T5.indirect("ma") + T5.indirect("hma")


def test_seeds_count_differently() -> None:
    one, other = (emu.Card.load("t520-cr", seed=seed) for seed in (1, 2))
    assert count(one, "RX", 1) != count(other, "RX", 1)
    assert count(one, "RX", 1) == count(emu.Card.load("t520-cr", seed=1), "RX", 1)
