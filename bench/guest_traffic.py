"""Traffic between two ports in a guest: the emulated cards against QEMU's own NICs.

All pairs of ports are in one guest and take turns at each load, so that each figure is a ratio
within one run. A card's processor time counts together with QEMU's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vmcoredd.bench import network_tools as tools
from vmcoredd.bench.measure import Row, Series, Target, in_turn
from vmcoredd.bench.paired_ports import CARDS, MODELS, Pair, Say, booted

GROUP = "traffic between two ports in a guest"
YARDSTICK = MODELS[0]
"""What targets are about."""
STREAM_SECONDS, DATAGRAM_SECONDS = 6, 3
ECHOES, INTERVAL, FLOOD = 100, 0.01, 500


@dataclass(frozen=True)
class Figure:
    """Something that a load measures, and what its ratio to that of YARDSTICK should be."""

    name: str
    unit: str
    target: Target | None = None


STREAM = Figure("TCP, one stream", "Mbit/s", Target(1))
EFFORT = Figure("TCP, one stream, by processor time", "MB/cpu-s", Target(1.2))
DATAGRAMS = Figure("UDP, 18 bytes, received", "k/s", Target(1))
ECHO = Figure("ping, average", "ms", Target(1.5, at_least=False))
QUICKEST = Figure("ping, minimum", "ms")
FLOODED = Figure("ping -f, average", "ms")
FIGURES = (STREAM, EFFORT, DATAGRAMS, ECHO, QUICKEST, FLOODED)
QEMU, CARD = Figure("QEMU", "cpu-s/GB"), Figure("card", "cpu-s/GB")
SENT, LOST = Figure("sent", "k/s"), Figure("lost", "")
NOTES = {EFFORT: (QEMU, CARD), DATAGRAMS: (SENT,), FLOODED: (LOST,)}
"""What is told beside a figure."""

Measured = dict[Figure, float]
Found = Mapping[str, Mapping[Figure, Series]]
"""By the name of the pair."""


def measure(rounds: int, say: Say) -> Iterator[Row]:
    """Boots the guest and measures: a minute or two, and as much for each round.

    Raises `debs.Unavailable` and GuestError as `booted`.
    """
    with booted(say) as pairs:
        runs = {
            (load, pair.name): partial(_told, say, load, pair) for load in LOADS for pair in pairs
        }
        taken = in_turn(runs, rounds, warm=False)
    yield from rows(by_pair(taken))


# Loads


def _stream(pair: Pair) -> Measured:
    ran = pair.run(tools.stream(pair.address, STREAM_SECONDS))
    made = tools.read_stream(ran.output)
    gigabytes = made.bytes / 1e9
    return {
        STREAM: made.mbits,
        EFFORT: made.bytes / 1e6 / (ran.qemu + ran.card),
        QEMU: ran.qemu / gigabytes,
        CARD: ran.card / gigabytes,
    }


def _datagrams(pair: Pair) -> Measured:
    made = tools.read_datagrams(pair.run(tools.datagrams(pair.address, DATAGRAM_SECONDS)).output)
    return {DATAGRAMS: made.received / 1e3, SENT: made.sent / 1e3}


def _echoes(pair: Pair) -> Measured:
    made = tools.read_echoes(pair.run(tools.echoes(pair.address, ECHOES, INTERVAL)).output)
    return {ECHO: made.average, QUICKEST: made.minimum}


def _flood(pair: Pair) -> Measured:
    made = tools.read_echoes(pair.run(tools.flood(pair.address, FLOOD)).output)
    return {FLOODED: made.average, LOST: made.lost}


LOADS: Mapping[str, Callable[[Pair], Measured]] = {
    "TCP": _stream,
    "UDP": _datagrams,
    "ping": _echoes,
    "ping -f": _flood,
}


def loaded(pair: Pair) -> Measured:
    """Returns all figures of one round of a pair."""
    return {figure: value for load in LOADS.values() for figure, value in load(pair).items()}


def _told(say: Say, load: str, pair: Pair) -> Measured:
    say(f"{load}: {pair.name}")
    return LOADS[load](pair)


# The table


def by_pair(taken: Mapping[tuple[str, str], Sequence[Measured]]) -> Found:
    """Returns the figures of all rounds by pair; `taken` has them by load and pair."""
    found: dict[str, dict[Figure, Series]] = {}
    for (_, name), rounds in taken.items():
        for figure in rounds[0]:
            values = tuple(measured[figure] for measured in rounds)
            found.setdefault(name, {})[figure] = Series(values)
    return found


def rows(found: Found) -> Iterator[Row]:
    """Compares each card with each of QEMU's NICs."""
    for figure in FIGURES:
        for card in CARDS:
            for model in MODELS:
                yield _row(figure, card, model, found)


def _row(figure: Figure, card: str, model: str, found: Found) -> Row:
    ours, theirs = found[card][figure], found[model][figure]
    return Row(
        GROUP,
        f"{figure.name}: {card}",
        ours,
        figure.unit,
        ours.over(theirs),
        f"{model}, {theirs.median:.4g} {figure.unit}",
        figure.target if model == YARDSTICK else None,
        "; ".join(_beside(more, card, model, found) for more in NOTES.get(figure, ())),
    )


def _beside(figure: Figure, card: str, model: str, found: Found) -> str:
    ours, theirs = found[card][figure].median, found[model][figure].median
    return f"{figure.name} {ours:.4g}, {model} {theirs:.4g} {figure.unit}".rstrip()


def ratios(rows: Iterable[Row]) -> dict[str, dict[str, Series]]:
    """Returns the ratios to YARDSTICK, by card and figure."""
    found: dict[str, dict[str, Series]] = {}
    for row in rows:
        if row.group == GROUP and row.ratio and row.against.startswith(f"{YARDSTICK}, "):
            figure, _, card = row.what.rpartition(": ")
            found.setdefault(card, {})[figure] = row.ratio
    return found
