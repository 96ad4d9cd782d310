"""The log that a peer cannot flood."""

from __future__ import annotations

import logging

import pytest

from pyvfio_user import LimitedLog

BURST = LimitedLog.BURST


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> LimitedLog:
    caplog.set_level(logging.INFO)
    return LimitedLog(logging.getLogger("test"))


def test_a_few_messages_of_a_kind_are_shown_and_the_others_counted(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(BURST + 5):
        log.warning("message %d at %#x", number, number)
    assert caplog.messages[0] == "message 0 at 0x0"
    assert caplog.messages[-1] == "more messages like the last are counted, but not shown"
    assert len(caplog.messages) == BURST + 1
    log.flush()
    assert caplog.messages[-1] == "left out 5 times: message # at #"


def test_each_kind_has_its_own_limit(log: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(BURST):
        log.warning("one")
    log.warning("other")
    assert caplog.messages[-1] == "other"


def test_nothing_is_said_about_messages_that_were_all_shown(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(BURST - 1):
        log.warning("one")
    log.flush()
    assert caplog.messages == ["one"] * (BURST - 1)


def test_after_the_period_messages_are_shown_again(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(BURST + 1):
        log.warning("one")
    log.PERIOD = 0.0
    log.warning("one")
    assert caplog.messages[-2:] == ["left out 1 times: one", "one"]


def test_the_number_of_kinds_is_limited(log: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(LimitedLog.KINDS + 100):
        log.warning("a" * number)
    assert len(caplog.messages) == LimitedLog.KINDS + BURST + 1


def test_debug_messages_are_not_limited(log: LimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(3 * BURST):
        log.debug("one")
    assert len(caplog.messages) == 3 * BURST


def test_an_exception_is_shown_with_its_traceback(
    log: LimitedLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.error("failed", exc_info=ValueError("why"))
    assert "ValueError: why" in caplog.text
