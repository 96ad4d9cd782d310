"""Runs the benchmark, part by part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmcoredd.bench import (
    Part,
    access,
    archive,
    dumps,
    engine,
    files,
    reading,
    scale,
    socket_dump,
    tracing,
    windows,
)
from vmcoredd.bench.measure import Results, Row, Series
from vmcoredd.debs import Unavailable
from vmcoredd.qemu.errors import GuestError

Say = Callable[[str], None]
QUICK_ROUNDS, FULL_ROUNDS = 3, 5
GUEST_ROUNDS = 2
"""Guest rounds in the full form; each boots twelve guests and takes a quarter of an hour."""
ACCESS_ROUNDS = 15
"""For single accesses, which take milliseconds."""


@dataclass(frozen=True)
class Wanted:
    """The choice of measurements. `full` measures the whole of what the quick form samples."""

    full: bool = False
    parts: Collection[Part] = tuple(Part)

    @property
    def rounds(self) -> int:
        """Rounds of each measurement."""
        return FULL_ROUNDS if self.full else QUICK_ROUNDS


@dataclass(frozen=True)
class _Measurement:
    """The rows of a part, and its curves by plot."""

    rows: Callable[[], Iterable[Row]]
    curves: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def run(wanted: Wanted, say: Say) -> Results:
    """Runs the parts wanted. Skips parts whose prerequisites are missing, and records why."""
    results = Results()
    for part, measurement in _measurements(wanted, results, say).items():
        if part not in wanted.parts:
            results.skipped[part] = f"--part {part} measures it"
            continue
        say(part)
        try:
            results.add(measurement.rows())
            results.curves |= {plot: curve() for plot, curve in measurement.curves.items()}
        except (Unavailable, GuestError) as error:
            results.skipped[part] = str(error)
    return results


def _measurements(wanted: Wanted, results: Results, say: Say) -> dict[Part, _Measurement]:
    rounds, full = wanted.rounds, wanted.full
    packets = engine.Engine(rounds)
    return {
        Part.DUMP: _Measurement(
            lambda: socket_dump.measure(rounds, full=full),
            {
                "entities": lambda: dumps.entity_rates(rounds),
                "dump": lambda: socket_dump.speedups(results.rows),
            },
        ),
        Part.WINDOWS: _Measurement(
            lambda: windows.measure(rounds), {"windows": lambda: windows.rates(rounds)}
        ),
        Part.ACCESS: _Measurement(
            lambda: access.measure(ACCESS_ROUNDS), {"depth": lambda: access.depths(rounds)}
        ),
        Part.FILES: _Measurement(lambda: files.measure(rounds, full=full)),
        Part.READING: _Measurement(lambda: reading.measure(rounds)),
        Part.SCALE: _Measurement(lambda: scale.measure(rounds)),
        Part.ENGINE: _Measurement(
            packets.rows, {"frames": lambda: packets.sizes, "queues": lambda: packets.queues}
        ),
        Part.TRACE: _Measurement(lambda: tracing.measure(rounds)),
        Part.ARCHIVE: _Measurement(lambda: archive.measure(full=full)),
        Part.GUEST: _Measurement(lambda: _guest(GUEST_ROUNDS if full else 1, say)),
        Part.TRAFFIC: _Measurement(
            lambda: _traffic(rounds, say), {"traffic": lambda: _traffic_ratios(results)}
        ),
    }


def _guest(rounds: int, say: Say) -> Iterable[Row]:
    """Measures in guests. Raises `debs.ModuleMissing` without the modules that guests need."""
    from vmcoredd.bench import guest

    return guest.measure(rounds, say)


def _traffic(rounds: int, say: Say) -> Iterable[Row]:
    """Measures in one guest. Raises as `_guest`."""
    from vmcoredd.bench import guest_traffic

    return guest_traffic.measure(rounds, say)


def _traffic_ratios(results: Results) -> dict[str, dict[str, Series]]:
    from vmcoredd.bench import guest_traffic

    return guest_traffic.ratios(results.rows)
