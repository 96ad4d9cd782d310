"""What a run of the benchmark found: rows with figures, ratios and what was hoped for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vmcoredd.bench.measure import Series


@dataclass(frozen=True)
class Target:
    """A bound that a ratio is held against."""

    value: float
    at_least: bool = True

    def met(self, ratio: Series) -> bool:
        """Whether the median keeps it."""
        return ratio.median >= self.value if self.at_least else ratio.median <= self.value

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table: `figure` in `unit`, and its `ratio` to `against`."""

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
        """Whether the target was met; empty where there is none."""
        if self.target is None or self.ratio is None:
            return ""
        return "met" if self.target.met(self.ratio) else "not met"

    def record(self) -> dict[str, Any]:
        """For JSON."""
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
    """All rows of a run, and the curves that are drawn."""

    rows: list[Row] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)
    """By plot; see `bench.plots`."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Parts that could not run, and why."""

    def add(self, rows: Iterable[Row]) -> None:
        """More of them."""
        self.rows += rows


def _series(series: Series) -> dict[str, Any]:
    return {
        "median": series.median,
        "low": series.low,
        "high": series.high,
        "values": series.values,
    }
