"""Measuring on a machine that has other things to do: compared runs take turns, medians count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")
Run = Callable[[], float]
"""Does the work once; returns what it took, in seconds or in whatever is compared."""


@dataclass(frozen=True)
class Series:
    """One thing measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest; `high` is the highest: that is the spread."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest."""
        return max(self.values)

    def scaled(self, factor: float) -> Series:
        """Each value times `factor`."""
        return Series(tuple(value * factor for value in self.values))

    def over(self, other: Series) -> Series:
        """The ratios to `other`, round by round; both were measured in the same rounds."""
        if len(self.values) != len(other.values):
            raise ValueError(f"{len(self.values)} rounds against {len(other.values)}")
        return Series(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


def interleave(runs: Mapping[K, Run], rounds: int, *, warm: bool = True) -> dict[K, Series]:
    """Each of `runs` once per round, in turn; with `warm` one more round before, not counted."""
    taken: dict[K, list[float]] = {name: [] for name in runs}
    for number in range(rounds + warm):
        for name, run in runs.items():
            value = run()
            if number >= warm:
                taken[name].append(value)
    return {name: Series(tuple(values)) for name, values in taken.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def total(parts: Sequence[Series]) -> Series:
    """The sums, round by round."""
    return Series(tuple(map(sum, zip(*(part.values for part in parts), strict=True))))
