"""64-bit values that are in a dump as two neighbouring words, `*_L` and `*_H` or `*_LO` and `*_HI`.

for counter in joined(words):
    print(counter.name, counter.value)      # MPS_PORT_STAT_TX_PORT_BYTES 12345678901
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

_HALVES = {"_L": "low", "_LO": "low", "_LOW": "low", "_H": "high", "_HI": "high", "_HIGH": "high"}
_PARTNER = {"_L": "_H", "_LO": "_HI", "_LOW": "_HIGH"}
_PARTNER |= {high: low for low, high in _PARTNER.items()}
_STEPS = (1, 4)
"""The distance of neighbours: an index, or the bytes of a word."""


class Half(Protocol):
    """A word with its register's name."""

    @property
    def name(self) -> str:
        """The register's name; empty if it has none."""

    @property
    def offset(self) -> int:
        """Its byte offset in BAR0, or its index."""

    @property
    def value(self) -> int:
        """32 bits."""


H = TypeVar("H", bound=Half)


@dataclass(frozen=True)
class Joined(Generic[H]):
    """Two words that are one number."""

    name: str
    """The name without `_L` or `_H`."""
    low: H
    high: H

    @property
    def value(self) -> int:
        """64 bits."""
        return self.high.value << 32 | self.low.value


def joined(words: Iterable[H]) -> Iterator[Joined[H]]:
    """Yields the pairs among words, which are in the order of their offsets. The halves were read
    one after the other, so a counter that carried in between is off by 2^32."""
    before: H | None = None
    for word in words:
        pair = _pair(before, word) if before is not None else None
        if pair is not None:
            yield pair
        before = None if pair else word  # the next pair of an array begins behind this one


def counters(words: Iterable[H]) -> Iterator[Joined[H]]:
    """Yields the pairs that count something; others are addresses, times, or words with fields."""
    return (pair for pair in joined(words) if "_STAT_" in pair.name or pair.name[:7] == "TP_MIB_")


def _pair(first: H, second: H) -> Joined[H] | None:
    stem, half = _split(first.name)
    near = second.offset - first.offset in _STEPS
    if not half or not near or second.name != stem + _PARTNER[half]:
        return None
    low, high = (first, second) if _HALVES[half] == "low" else (second, first)
    return Joined(stem, low, high)


def _split(name: str) -> tuple[str, str]:
    """Returns a name's stem and the suffix of its half; the suffix is empty if it has none."""
    stem, _, last = name.rpartition("_")
    return (stem, f"_{last}") if f"_{last}" in _HALVES else (name, "")
