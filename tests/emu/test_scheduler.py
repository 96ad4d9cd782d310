"""Rates of the transmit schedulers, as a driver sets them and a dump shows them."""

from __future__ import annotations

import pytest
from carddump import collect
from emumail import Mailbox

from vmcoredd.chip.firmware import Hello, Reset, Retval, Sched, SchedParams
from vmcoredd.chip.firmware.queue import SC_PARAMS, SchedLevel, SchedRate
from vmcoredd.chip.tp import SCHEDULERS, rate_limit
from vmcoredd.emu import Card


def rate(kbps: int, cl: int = 0, ch: int = 0, **values: int) -> SchedParams:
    """A command as t4_sched_params() sends it for ndo_set_tx_maxrate()."""
    given = {"sc": SC_PARAMS, "rate": SchedRate.ABSOLUTE, "max": kbps, "cl": cl, "ch": ch}
    return SchedParams(write=1, **(given | values))


def shown(card: Card) -> list[int]:
    """kbit/s of each scheduler in a dump."""
    made = collect(card, entities=("CLK", "HW_SCHED", "TP_INDIRECT", "DEV_LOG"))
    if not any(made.words("HW_SCHED")):
        return [0] * SCHEDULERS
    return [int(row["kbit/s"] or 0) for row in made.table("HW_SCHED")]


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_the_rate_of_a_class_is_in_the_dump(name: str) -> None:
    card = Card.load(name, scene="fresh")
    mail = Mailbox(card)
    mail.do(rate(1_000_000, cl=3))
    mail.do(rate(50, cl=0, rate=0))
    speed = card.profile.ports.speed * 1_000_000
    found = shown(card)
    assert found[3] == pytest.approx(1_000_000, rel=0.01)
    assert found[0] == pytest.approx(speed // 2, rel=0.01)
    assert [found[i] for i in (1, 2, 4, 5, 6, 7)] == [0] * 6


def test_a_class_without_a_rate_and_a_reset_device_have_no_limit() -> None:
    card = Card.load("t62100-cr", scene="fresh")
    mail = Mailbox(card)
    mail.do(Hello(mbmaster=4))
    mail.do(rate(500_000, cl=2))
    mail.do(rate(500_000, cl=5))
    mail.do(rate(0, cl=2))
    assert [bool(kbps) for kbps in shown(card)] == [False] * 5 + [True] + [False] * 2
    mail.do(Reset(val=3))
    assert shown(card) == [0] * 8


def test_the_rate_of_a_channel_is_in_its_own_register() -> None:
    card = Card.load("t62100-cr", scene="fresh")
    Mailbox(card).do(rate(2_000_000, ch=1, level=SchedLevel.CHANNEL_RATE))
    word = card.core.spaces.get(card.chip.r.TP_TX_MOD_C1_C0_RATE_LIMIT)
    assert word == rate_limit(2_000_000, card.profile.card.core_clock) << 16
    assert shown(card) == [0] * 8


@pytest.mark.parametrize("kbps", [8, 1000, 9_999, 10_000_000, 100_000_000, 10**9])
def test_a_rate_limit_is_the_nearest_that_two_bytes_hold(kbps: int) -> None:
    word = rate_limit(kbps, 250_000)
    count, cycles = word >> 8, word & 0xFF
    assert 0 < count < 256
    assert 0 < cycles < 256
    if 8_000 < kbps < 10**9:
        assert count / cycles * 250_000 * 8 == pytest.approx(kbps, rel=0.02)


def test_wrong_classes_are_refused() -> None:
    mail = Mailbox(Card.load("t62100-cr"))
    for wrong in (rate(1, cl=16), rate(1, ch=2), Sched(write=1, sc=2)):
        assert mail.call(wrong).retval == Retval.EINVAL
    mail.do(Sched(write=1, sc=0))
