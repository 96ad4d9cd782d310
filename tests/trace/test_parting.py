"""Where two drivers part: accesses, commands and answers of two traces, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmcoredd import cudbg, driver, emu
from vmcoredd.chip import T6
from vmcoredd.chip.firmware import Devlog, Hello
from vmcoredd.driver import Adapter
from vmcoredd.emu.recording import recording
from vmcoredd.trace import parting
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.parting import Course, Place, compare, course

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
Work = Callable[[Adapter], object]


def dumped(*entities: str) -> Work:
    def work(adapter: Adapter) -> None:
        buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
        adapter.collect(buffer, compress="none", entities=entities)

    return work


@pytest.fixture
def traced(tmp_path: Path) -> Callable[[Work], Course]:
    """Traces what a driver does to a fresh card."""
    numbers = iter(range(10))

    def trace(work: Work, **options: object) -> Course:
        path = tmp_path / f"{next(numbers)}.npz"
        card = emu.Card.load("t62100-cr", memory=SMALL, **options)  # type: ignore[arg-type]
        with recording(card, path), driver.open_card(card) as adapter:
            work(adapter)
        with Reader(path) as reader:
            return course(reader)

    return trace


def test_the_same_driver_takes_the_same_steps(traced: Callable[..., Course]) -> None:
    one, other = (traced(dumped("CIM_QCFG", "TP_INDIRECT")) for _ in range(2))
    found = compare(one, other)
    assert found.common == len(one.actions) == len(other.actions) > 700
    assert (found.places, found.answers) == ([], [])


def test_an_entity_that_one_leaves_out_is_where_they_part(traced: Callable[..., Course]) -> None:
    one = traced(dumped("CIM_QCFG", "RSS", "TP_INDIRECT"))
    other = traced(dumped("CIM_QCFG", "TP_INDIRECT"))
    found = compare(one, other)
    (place,) = found.places
    first, end = place.a
    assert place.b == (found.common, found.common) == (first, first)
    assert {action.event.name for action in one.actions[first:end]} == {"TP_RSS_LKP_TABLE"}
    assert len(one.actions) - len(other.actions) == end - first
    assert found.aligned


def test_a_poll_is_one_step_however_long_it_takes(traced: Callable[..., Course]) -> None:
    def ask(adapter: Adapter) -> None:
        adapter.mailbox.call(Hello(mbmaster=4))

    one, other = traced(ask), traced(ask, faults=["firmware-slow"])
    assert compare(one, other).places == []
    turns = [max(action.turns for action in each.actions) for each in (one, other)]
    assert turns[0] < turns[1]


def test_a_command_is_one_step_and_differs_by_its_fields(traced: Callable[..., Course]) -> None:
    one = traced(lambda adapter: adapter.mailbox.call(Hello(mbmaster=4)))
    other = traced(lambda adapter: adapter.mailbox.call(Hello(mbmaster=5)))
    third = traced(lambda adapter: adapter.mailbox.call(Devlog()))
    (place,) = compare(one, other).places
    assert place.a == place.b
    assert one.actions[place.a[0]].event.details["mbmaster"] == 4
    assert other.actions[place.b[0]].event.details["mbmaster"] == 5
    assert compare(one, third).places


def test_an_answer_that_differs_is_told_although_the_steps_are_the_same(
    traced: Callable[..., Course],
) -> None:
    one = traced(dumped("CIM_QCFG"))
    other = traced(dumped("CIM_QCFG"), seed=7)
    found = compare(one, other)
    assert found.places == []
    (first, same), *_ = found.answers
    assert first == same
    assert one.actions[first].record != other.actions[same].record


@pytest.mark.parametrize("name", ["SGE_PF_KDOORBELL", "SGE_PF_GTS", "SGE_DEBUG_INDEX"])
def test_what_comes_when_it_wants_is_left_out_and_counted(
    traced: Callable[..., Course], name: str
) -> None:
    def ring(adapter: Adapter) -> None:
        adapter.io.write(int(T6.r[name]), 0)

    one, other = traced(ring), traced(lambda adapter: None)
    assert compare(one, other).places == []
    assert sum(one.left_out.values()) == sum(other.left_out.values()) + 1


def test_traces_too_long_to_align_part_once(
    traced: Callable[..., Course], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parting, "MOST", 10)
    one, other = traced(dumped("CIM_QCFG")), traced(dumped("TP_INDIRECT"))
    found = compare(one, other)
    assert not found.aligned
    (place,) = found.places
    assert isinstance(place, Place)
    assert place.a[0] == place.b[0] == found.common
