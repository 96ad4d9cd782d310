"""The whole benchmark, part by part, in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench import access, entities, files, guest, scale, socket_dump, windows
from bench.results import Results, Row
from debs import Unavailable
from qemu.errors import GuestError

Say = Callable[[str], None]
QUICK_ROUNDS, FULL_ROUNDS = 3, 5
ACCESS_ROUNDS = 15
"""Of single accesses, which take milliseconds."""


@dataclass(frozen=True)
class Wanted:
    """What to run. `full` measures what `quick` samples; the guest takes minutes more."""

    full: bool = False
    guest: bool = False

    @property
    def rounds(self) -> int:
        """Of each measurement."""
        return FULL_ROUNDS if self.full else QUICK_ROUNDS


def run(wanted: Wanted, say: Say) -> Results:
    """Everything wanted; parts whose parts are missing are left out, and the results say so."""
    results = Results()
    rounds = wanted.rounds
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        socket_dump.GROUP: lambda: socket_dump.measure(rounds, full=wanted.full),
        windows.GROUP: lambda: windows.measure(rounds),
        access.GROUP: lambda: access.measure(ACCESS_ROUNDS),
        files.GROUP: lambda: files.measure(rounds, full=wanted.full),
        scale.GROUP: lambda: scale.measure(rounds),
    }
    if wanted.guest:
        parts[guest.GROUP] = lambda: guest.measure(rounds if wanted.full else 1, say)
    else:
        results.skipped[guest.GROUP] = "it takes many minutes; --guest measures it"
    for name, measure in parts.items():
        say(name)
        try:
            results.add(measure())
        except (Unavailable, GuestError) as error:
            results.skipped[name] = str(error)
    say("curves")
    _curves(results, rounds)
    return results


def _curves(results: Results, rounds: int) -> None:
    results.curves["depth"] = access.depths(rounds)
    results.curves["windows"] = windows.rates(rounds)
    results.curves["entities"] = entities.rates(rounds)
    results.curves["dump"] = socket_dump.speedups(results.rows)
