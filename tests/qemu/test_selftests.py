"""What a kernel's selftest prints is read, and held against its row of the table."""

from __future__ import annotations

import pytest
from selftests import Case, cases
from selftests_table import FAIL, PAGE, PASS, SKIP, TABLE, Row, Selftest, written

OUTPUT = """\
TAP version 13
1..4
ok 1 wheels.turn
# Exception| no brakes
# Exception| none at all
not ok 2 wheels.stop
ok 3 wheels.steer.left # SKIP no steering
not ok 4 wheels.fly # XFAIL not yet
# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0
"""
TURN, STOP, STEER, FLY = (
    Case("wheels.turn", True, notes="TAP version 13\n1..4"),
    Case("wheels.stop", False, notes="# Exception| no brakes\n# Exception| none at all"),
    Case("wheels.steer.left", True, "SKIP no steering"),
    Case("wheels.fly", False, "XFAIL not yet"),
)
ROWS = (
    Row("turn"),
    Row("stop", FAIL, "no brakes"),
    Row("steer.*", SKIP, "no steering"),
    Row("fly", SKIP),
)
WHEELS = Selftest("drivers/wheels.py", 1, ROWS)


def test_results_are_read_with_the_lines_before_them() -> None:
    assert cases("wheels", OUTPUT) == [TURN, STOP, STEER, FLY]


def test_an_expected_failure_counts_as_a_skip() -> None:
    assert [case.outcome for case in cases("wheels", OUTPUT)] == [PASS, FAIL, SKIP, SKIP]


def test_a_shell_selftest_s_results_are_read_too() -> None:
    assert cases("wheels", "ok 1 - wheels.turn\n") == [Case("wheels.turn", True)]


def test_a_program_without_results_has_failed() -> None:
    died = "Traceback: no road\n"
    assert cases("wheels", died) == [Case("wheels", False, notes=died)]


def test_cases_that_end_as_the_rows_say_are_right() -> None:
    WHEELS.check([TURN, STOP, STEER, FLY])


def test_a_program_that_dies_is_its_first_row_s() -> None:
    Selftest("wheels.py", 0, [Row("*", FAIL, "no road")]).check(cases("wheels", "no road\n"))


@pytest.mark.parametrize(
    ("found", "match"),
    [
        ([Case("wheels.turn", False), STOP, STEER, FLY], "turn"),
        ([TURN, Case("wheels.stop", False, notes="fire"), STEER, FLY], "no brakes"),
        ([TURN, Case("wheels.stop", True), STEER, FLY], "stop"),
        ([TURN, STOP, Case("wheels.steer.left", True, "SKIP rain"), FLY], "no steering"),
        ([TURN, STOP, STEER], "a row has no case"),
        ([TURN, TURN, STOP, STEER, FLY], "turn"),
        ([TURN, STOP, STEER, FLY, Case("wheels.float", True)], "the table lacks"),
    ],
)
def test_anything_else_is_not(found: list[Case], match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        WHEELS.check(found)


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text()
    assert page == written(page), "python tests/support/selftests_table.py writes it"


def test_a_page_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="no section"):
        written("# The kernel's own tests\n")


def test_each_row_but_a_pass_says_why() -> None:
    rows = [row for test in TABLE for row in test.rows if row.ends != PASS]
    assert [row for row in rows if not row.why] == []
    assert [row for row in rows if row.ends == FAIL and not row.says] == []
