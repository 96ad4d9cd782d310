"""Scale: one command that dumps many adapters at once, with as many processes as there are cpus."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmcoredd.bench.machine import children_seconds
from vmcoredd.bench.measure import Row, Series
from vmcoredd.bench.processes import CardServer, peak_together, serving, vmcoredd

GROUP = "scale"
COUNTS = (1, 2, 4, 8, 16)
MIB = 1 << 20
INCOMPLETE = 5
"""The exit code: without compression one entity, QDESC, has no room in a dump."""


@dataclass(frozen=True)
class Took:
    """A command that dumped several adapters."""

    seconds: float
    busy: float
    """Seconds of processor time, of the command and of the servers."""
    peak_mib: float
    """Of all processes of the command together, in another run."""


def measure(rounds: int) -> Iterator[Row]:
    """Measures time, processor time and memory per adapter, against a single adapter."""
    took = _measured(rounds)
    seconds = {count: _series(took[count], lambda one: one.seconds) for count in COUNTS}
    busy = {count: _series(took[count], lambda one: one.busy) for count in COUNTS}
    peaks = {count: _series(took[count], lambda one: one.peak_mib) for count in COUNTS}
    for count in COUNTS:
        what, cpus = f"{count} at once, each", busy[count].over(seconds[count]).median
        yield _row(what, seconds, count, "s", f"{cpus:.2f} cpus busy")
        yield _row(f"{what}: processor time", busy, count, "s")
        yield _row(f"{what}: peak", peaks, count, "MiB")


def _row(what: str, measured: dict[int, Series], count: int, unit: str, note: str = "") -> Row:
    each, one = measured[count].scaled(1 / count), measured[1]
    against = f"one, {one.median:.3g} {unit}"
    return Row(GROUP, what, each, unit, each.over(one), against, note=note)


def _series(took: list[Took], part: Callable[[Took], float]) -> Series:
    return Series(tuple(part(one) for one in took))


def _measured(rounds: int) -> dict[int, list[Took]]:
    took: dict[int, list[Took]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name, ExitStack() as servers:
        paths = [servers.enter_context(serving(CardServer())) for _ in range(COUNTS[-1])]
        _dump(paths, Path(name) / "vmcore")
        for _ in range(rounds):
            for count in COUNTS:
                took[count].append(_dump(paths[:count], Path(name) / "vmcore"))
    return took


def _dump(paths: list[Path], output: Path) -> Took:
    sockets = [word for path in paths for word in ("--socket", str(path))]
    command = ("dump", *sockets, "-o", str(output), "--force", "--compress", "none")
    before = children_seconds()
    ran = vmcoredd(*command, accept=(0, INCOMPLETE))
    busy = children_seconds() - before
    return Took(ran.seconds, busy, peak_together(*command, accept=(0, INCOMPLETE)) / MIB)
