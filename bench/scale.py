"""Scale: one command that dumps many adapters at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmcoredd.bench.machine import children_seconds
from vmcoredd.bench.measure import Row, Series
from vmcoredd.bench.processes import CardServer, serving, vmcoredd

GROUP = "scale"
COUNTS = (1, 2, 4, 8, 16)
MIB = 1 << 20


@dataclass(frozen=True)
class Took:
    """A command that dumped several adapters."""

    seconds: float
    peak_mib: float
    cpus: float
    """The average of busy CPUs, over the command and the servers."""


def measure(rounds: int) -> Iterator[Row]:
    """Measures time and memory per adapter, against a single adapter, and the load of the CPUs."""
    took = _measured(rounds)
    seconds = {count: _series(took[count], lambda one: one.seconds) for count in COUNTS}
    peaks = {count: _series(took[count], lambda one: one.peak_mib) for count in COUNTS}
    for count in COUNTS:
        each, peak = seconds[count].scaled(1 / count), peaks[count].scaled(1 / count)
        one, memory = f"one, {seconds[1].median:.2f} s", f"one, {peaks[1].median:.0f} MiB"
        busy = f"{_series(took[count], lambda one: one.cpus).median:.2f} cpus busy"
        ratio, what = each.over(seconds[1]), f"{count} at once, each"
        yield Row(GROUP, what, each, "s", ratio, one, note=busy)
        yield Row(GROUP, f"{what}: peak", peak, "MiB", peak.over(peaks[1]), memory)


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
    before = children_seconds()
    ran = vmcoredd("dump", *sockets, "-o", str(output), "--force", "--compress", "none")
    busy = (children_seconds() - before) / ran.seconds
    return Took(ran.seconds, ran.peak / MIB, busy)
