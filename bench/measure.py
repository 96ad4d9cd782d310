"""Measures figures: compared runs take turns, and the medians of their ratios count.

So ratios stay meaningful under other load on the machine, unlike absolute times.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
Run = Callable[[], float]
"""Does the work once; returns seconds, or another measure to compare."""


@dataclass(frozen=True)
class Series:
    """Repeated measurements of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest value; `low` and `high` are the spread."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(self.values)

    def scaled(self, factor: float) -> Series:
        """Returns each value times `factor`."""
        return Series(tuple(value * factor for value in self.values))

    def over(self, other: Series) -> Series:
        """Returns the ratios to `other`, round by round. Raises ValueError if the rounds differ."""
        if len(self.values) != len(other.values):
            raise ValueError(f"{len(self.values)} rounds against {len(other.values)}")
        return Series(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


def interleave(runs: Mapping[K, Run], rounds: int, *, warm: bool = True) -> dict[K, Series]:
    """Runs each of `runs` once per round, in turn; `warm` adds an uncounted first round."""
    taken = in_turn(runs, rounds, warm=warm)
    return {name: Series(tuple(values)) for name, values in taken.items()}


def in_turn(
    runs: Mapping[K, Callable[[], V]], rounds: int, *, warm: bool = True
) -> dict[K, list[V]]:
    """Runs each of `runs` as `interleave`; returns what they returned, by name and round."""
    taken: dict[K, list[V]] = {name: [] for name in runs}
    for number in range(rounds + warm):
        for name, run in runs.items():
            value = run()
            if number >= warm:
                taken[name].append(value)
    return taken


def timed(work: Callable[[], object]) -> float:
    """Returns the seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def processor_time(work: Callable[[], object]) -> float:
    """Returns the seconds of processor time that `work` takes; see `processor_seconds`."""
    began = processor_seconds()
    work()
    return processor_seconds() - began


def processor_seconds() -> float:
    """Returns the processor time of this process, and of those that it started and waited for.

    Other load changes it much less than it changes the time that passes.
    """
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def total(parts: Sequence[Series]) -> Series:
    """Returns the sums, round by round."""
    return Series(tuple(map(sum, zip(*(part.values for part in parts), strict=True))))


@dataclass(frozen=True)
class Target:
    """A bound for a ratio: a minimum, or with `at_least=False` a maximum."""

    value: float
    at_least: bool = True

    def met(self, ratio: Series) -> bool:
        """Returns whether the median is within the bound."""
        return ratio.median >= self.value if self.at_least else ratio.median <= self.value

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """A line of the table: `figure` in `unit`, and its `ratio` to `against`."""

    group: str
    what: str
    figure: Series
    unit: str
    ratio: Series | None = None
    against: str = ""
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met` or `not met`; empty without a target."""
        if self.target is None or self.ratio is None:
            return ""
        return "met" if self.target.met(self.ratio) else "not met"

    def record(self) -> dict[str, Any]:
        """Returns the row for JSON."""
        return {
            "group": self.group,
            "what": self.what,
            "unit": self.unit,
            "figure": _series(self.figure),
            "ratio": _series(self.ratio) if self.ratio else None,
            "against": self.against,
            "target": str(self.target) if self.target else None,
            "verdict": self.verdict or None,
            "note": self.note,
        }


@dataclass
class Results:
    """The rows of a run, and the curves to plot."""

    rows: list[Row] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)
    """Keyed by the plot's name; see `bench.plots`."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Parts that did not run, with the reasons."""

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows."""
        self.rows += rows


def _series(series: Series) -> dict[str, Any]:
    return {
        "median": series.median,
        "low": series.low,
        "high": series.high,
        "values": series.values,
    }
