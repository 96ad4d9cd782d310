"""The unmodified driver's collection in a guest's crash kernel: window page mapped, or trapped.

What is timed is the loading of the driver in the crash kernel, which probes and dumps; QEMU and
the server run where the scheduler puts them ("free"), or together on one cpu ("pinned").
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Series, interleave
from bench.results import Row, Target
from bench.serving import CardServer, serving
from qemu import kdump
from qemu.guest import Adapter
from qemu.kdump import Flow, Stage
from qemu.parts import Options, Parts, obtain

GROUP = "guest"
EDC_MIB = 4
SMALL, LARGE = 8, 24
"""MiB of MC0."""


def measure(rounds: int, say: Callable[[str], None]) -> Iterator[Row]:
    """Minutes: four dumps for each placement and round."""
    parts = obtain()
    first = frozenset(sorted(os.sched_getaffinity(0))[:1])
    for name, cpus in (("free", None), ("pinned to one cpu", first)):
        yield from _placed(parts, name, cpus, rounds, say)


def _placed(
    parts: Parts, name: str, cpus: frozenset[int] | None, rounds: int, say: Callable[[str], None]
) -> Iterator[Row]:
    def run(mc0: int, mapped: bool) -> Callable[[], float]:
        def once() -> float:
            seconds = _collect(parts, mc0, mapped, cpus)
            say(f"guest, {name}, MC0 {mc0} MiB, mapped {mapped}: {seconds:.1f} s")
            return seconds

        return once

    runs = {(mc0, mapped): run(mc0, mapped) for mc0 in (SMALL, LARGE) for mapped in (True, False)}
    took = interleave(runs, rounds, warm=False)
    targets = (Target(4), Target(10)) if cpus is None else (None, None)
    total = SMALL + EDC_MIB
    yield _row(f"{total} MiB, {name}", took[SMALL, True], took[SMALL, False], targets[0])
    yield _row(
        f"each further MiB, {name}",
        _each(took[LARGE, True], took[SMALL, True]),
        _each(took[LARGE, False], took[SMALL, False]),
        targets[1],
    )


def _row(what: str, mapped: Series, trapped: Series, target: Target | None) -> Row:
    speedup, against = trapped.over(mapped), f"trapped, {trapped.median:.2f} s"
    return Row(GROUP, what, mapped, "s", speedup, against, target)


def _each(large: Series, small: Series) -> Series:
    """Seconds per MiB that `large` has more."""
    each = zip(large.values, small.values, strict=True)
    return Series(tuple((a - b) / (LARGE - SMALL) for a, b in each))


def _collect(parts: Parts, mc0: int, mapped: bool, cpus: frozenset[int] | None) -> float:
    """Seconds that the crash kernel's driver takes."""
    server = CardServer(overrides={"memory": {"mc0": mc0}}, map_window=mapped, cpus=cpus)
    with serving(server) as path, tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as folder:
        report = kdump.run(
            [Adapter(path)],
            Path(folder) / "vmcore",
            flow=Flow(notes_only=True),
            options=Options(affinity=cpus),
            parts=parts,
        )
        return report.seconds[Stage.DUMPED] - report.seconds[Stage.CRASHED]
