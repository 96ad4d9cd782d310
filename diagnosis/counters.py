"""Counters: from how many errors on they say something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import Evidence
from vmcoredd.diagnosis.rule import Hit

MANY = 1000
"""Fewer errors than this say nothing: a port that comes up has some, and a burst drops some."""
_HALF_BITS = 32


@dataclass(frozen=True)
class Counter:
    """A counter and where it stands."""

    value: int
    evidence: Evidence


def many(counters: Iterable[Counter]) -> Iterator[Hit]:
    """Yields one hit with all counters that reach MANY."""
    high = tuple(counter.evidence for counter in counters if counter.value >= MANY)
    if high:
        yield Hit(high)


def joined(card: Card, name: str) -> list[Counter]:
    """Returns the instances of a 64-bit counter, whose halves are `name` with _L and _H."""
    low, high = card.words(f"{name}_L"), card.words(f"{name}_H")
    return [
        Counter(
            first.value | second.value << _HALF_BITS, (first if first.value else second).evidence()
        )
        for first, second in zip(low, high, strict=False)
    ]
