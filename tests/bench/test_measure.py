"""Figures: series, ratios and verdicts."""

from __future__ import annotations

import pytest

from vmcoredd.bench.measure import Row, Series, Target, interleave


def test_compared_runs_alternate_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def run(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    took = interleave({"a": lambda: run("a"), "b": lambda: run("b")}, 2)
    assert turns == ["a", "b"] * 3
    assert took == {"a": Series((3.0, 5.0)), "b": Series((4.0, 6.0))}


def test_a_ratio_is_taken_round_by_round() -> None:
    assert Series((2.0, 9.0)).over(Series((1.0, 3.0))) == Series((2.0, 3.0))


def test_series_with_different_rounds_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="2 rounds against 1"):
        Series((1.0, 2.0)).over(Series((1.0,)))


def test_median_and_spread_cover_all_rounds() -> None:
    series = Series((5.0, 1.0, 2.0))
    assert (series.low, series.median, series.high) == (1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target(2), "met"),
        (Target(3), "not met"),
        (Target(2, at_least=False), "met"),
        (Target(1, at_least=False), "not met"),
    ],
)
def test_the_median_of_the_ratio_decides_the_verdict(target: Target, verdict: str) -> None:
    row = Row("group", "what", Series((1.0,)), "s", Series((1.0, 2.0, 9.0)), target=target)
    assert row.verdict == verdict


def test_a_row_without_a_target_has_no_verdict() -> None:
    assert Row("group", "what", Series((1.0,)), "s").verdict == ""
