"""Rates of the transmit schedulers, as drivers set them, the engine has them, a dump shows them."""

from __future__ import annotations

import pytest
from carddump import collect
from emumail import Mailbox

from vmcoredd.chip.firmware import (
    Bye,
    EqEth,
    FwCommand,
    Hello,
    Params,
    Reset,
    Retval,
    Sched,
    SchedParams,
)
from vmcoredd.chip.firmware.params import Dmaq, param
from vmcoredd.chip.firmware.queue import (
    SC_PARAMS,
    SCHED_CLS_NONE,
    SchedLevel,
    SchedMode,
    SchedRate,
    SchedUnit,
)
from vmcoredd.chip.tp import SCHEDULERS, rate_limit
from vmcoredd.emu import Card
from vmcoredd.emu.engine import NO_CLASS


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


# The engine


def limits(card: Card) -> dict[tuple[int, int], tuple[int, bool]]:
    """Returns the rates that the engine has, by port and class: kbit/s, and whether each flow has
    it for itself."""
    c = card.engine.c
    found = {(port, n): c.class_rates[port][n] for port in range(4) for n in range(16)}
    found |= {(port, NO_CLASS): c.port_rates[port] for port in range(4)}
    return {key: (each.kbps, bool(each.per_flow)) for key, each in found.items() if each.kbps}


def test_the_engine_has_the_rates_of_each_ports_classes() -> None:
    card = Card.load("t62100-cr", scene="fresh")
    mail = Mailbox(card)
    mail.do(rate(1000, cl=0, ch=0))
    mail.do(rate(2000, cl=0, ch=1, mode=SchedMode.FLOW, min=500))
    mail.do(rate(3000, cl=15, ch=1))
    mail.do(rate(4000, cl=3, ch=1, level=SchedLevel.CHANNEL_RATE))
    mail.do(rate(50, cl=5, rate=0))
    wanted = {
        (0, 0): (1000, False),
        (1, 0): (2000, True),
        (1, 15): (3000, False),
        (1, NO_CLASS): (4000, False),
        (0, 5): (50_000_000, False),
    }
    assert limits(card) == wanted
    mail.do(rate(7000, cl=4, unit=1 + SchedUnit.BITS))
    mail.do(rate(7000, cl=4, level=1))
    assert limits(card) == wanted


def test_a_ports_own_speed_is_no_limit() -> None:
    """Linux frees a class, or a channel, so (cxgb4_sched_class_free())."""
    card = Card.load("t520-cr", scene="fresh")
    mail = Mailbox(card)
    for level in (SchedLevel.CLASS_RATE, SchedLevel.CHANNEL_RATE):
        mail.do(rate(9_999_999, level=level))
        assert len(limits(card)) == 1
        for most in (10_000_000, 0xFFFF_FFFF, 0):
            mail.do(rate(5000, level=level))
            mail.do(rate(most, level=level))
            assert limits(card) == {}
        mail.do(rate(100, level=level, rate=0))
        assert limits(card) == {}


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_a_dump_shows_whose_the_rate_is(name: str) -> None:
    card = Card.load(name, scene="fresh")
    mail = Mailbox(card)
    mail.do(Hello(mbmaster=4))

    def modes() -> list[str]:
        made = collect(card, entities=("CLK", "HW_SCHED", "TP_INDIRECT", "DEV_LOG"))
        return [row["mode"] for row in made.table("HW_SCHED")]

    mail.do(rate(1000, cl=0))
    before = modes()
    assert before[0] == "class"
    mail.do(rate(1000, cl=2, mode=SchedMode.FLOW))
    assert modes() == [*before[:2], "flow", *before[3:]]
    mail.do(rate(1000, cl=2))
    assert modes() == before
    mail.do(rate(1000, cl=9, mode=SchedMode.FLOW))
    assert modes() == before


def bind(number: int, value: int) -> FwCommand:
    """The command of t4_sched_bind_unbind_op()."""
    which = param(Dmaq.EQ_SCHEDCLASS_ETH, number >> 8, number & 0xFF)
    return Params.writing([(which, value)])


def test_a_queue_is_put_into_a_class_and_taken_out() -> None:
    card = Card.load("t62100-cr", scene="fresh")
    mail = Mailbox(card)
    number = mail.do(EqEth(alloc=1, eqstart=1, eqsize=65, eqaddr=0x10000)).eqid
    assert card.engine.c.egress[number].traffic_class == NO_CLASS
    mail.do(bind(number, 15))
    assert card.engine.c.egress[number].traffic_class == 15
    for wrong in (16, 0xFF, 0x100, SCHED_CLS_NONE - 1):
        assert mail.call(bind(number, wrong)).retval == Retval.EINVAL
    assert mail.call(bind(number + 1, 3)).retval == Retval.EINVAL
    assert Mailbox(card, pf=2).call(bind(number, 3)).retval == Retval.EINVAL
    assert card.engine.c.egress[number].traffic_class == 15
    saved = card.snapshot()
    mail.do(bind(number, SCHED_CLS_NONE))
    assert card.engine.c.egress[number].traffic_class == NO_CLASS
    card.restore(saved)
    assert card.engine.c.egress[number].traffic_class == 15


def test_rates_stay_when_a_driver_leaves_and_end_when_it_resets_the_device() -> None:
    card = Card.load("t62100-cr", scene="fresh")
    mail = Mailbox(card)
    mail.do(Hello(mbmaster=4))
    mail.do(rate(1000, cl=3, mode=SchedMode.FLOW))
    mail.do(rate(1000, ch=1, level=SchedLevel.CHANNEL_RATE))
    mail.do(Bye())
    assert len(limits(card)) == 2
    mail.do(Hello(mbmaster=4))
    mail.do(Reset(val=3))
    assert limits(card) == {}
    config = card.chip.r.TP_MOD_CONFIG
    assert config.get(card.core.spaces.get(config), "TimerMode") == 0
