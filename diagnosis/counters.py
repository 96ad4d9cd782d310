"""Counters: of registers in pairs, and from how many errors on they say something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vmcoredd.cudbg.counters import Joined, joined
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import Evidence
from vmcoredd.diagnosis.rule import Hit

MANY = 1000
"""Fewer errors than this say nothing: a port that comes up has some, and a burst drops some."""


def many(counters: Iterable[Word | Joined[Word]]) -> Iterator[Hit]:
    """Yields one hit with all counters, of one word or of two, that reach MANY, and their sum as
    `count`."""
    high = [one for one in counters if one.value >= MANY]
    if high:
        words = (word for one in high for word in _words(one))
        yield Hit(Evidence.each(words), {"count": f"{sum(one.value for one in high):,}"})


def counts(card: Card, name: str) -> Iterator[Joined[Word]]:
    """Returns the instances of a 64-bit counter, in the order of their offsets."""
    halves = (word for half in "LH" for word in card.words(f"{name}_{half}"))
    return joined(sorted(halves, key=lambda word: word.offset))


def _words(counter: Word | Joined[Word]) -> Iterator[Word]:
    """Yields the words of a counter that are not 0."""
    halves = (counter,) if isinstance(counter, Word) else (counter.low, counter.high)
    return (word for word in halves if word.value)
