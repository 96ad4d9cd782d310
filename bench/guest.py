"""The unmodified Linux driver in a guest's crash kernel, with its memory window mapped or trapped.

Times the loading of the driver in the crash kernel, which probes and dumps. QEMU and the server run
on any CPU ("free") or together on one ("pinned"). Trapped accesses are measured with a server that
spins, as the card's server does, and with one that sleeps, as plain libvfio-user servers do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyvfio_user import SPIN
from vmcoredd.bench.measure import Row, Series, Target, interleave
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.qemu import kdump
from vmcoredd.qemu.guest import Adapter
from vmcoredd.qemu.kdump import Flow, Stage
from vmcoredd.qemu.prepare import Options, Prepared, prepare

GROUP = "guest"
EDC_MIB = 4
SMALL, LARGE = 8, 24
"""MiB of MC0."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """How the driver reaches the card."""

    name: str
    map_window: bool
    spin: float


MAPPED = Way("window page mapped", True, SPIN)
TRAPPED = (Way("all trapped, plain server", False, 0.0), Way("all trapped", False, SPIN))


def measure(rounds: int, say: Say) -> Iterator[Row]:
    """Takes minutes: six dumps per placement and round."""
    prepared = prepare()
    first = frozenset(sorted(os.sched_getaffinity(0))[:1])
    yield from _placed(prepared, "free", None, rounds, say)
    yield from _placed(prepared, "pinned to one cpu", first, rounds, say)


def _placed(
    prepared: Prepared, name: str, cpus: frozenset[int] | None, rounds: int, say: Say
) -> Iterator[Row]:
    runs = {
        (way, mc0): partial(_collect, prepared, way, mc0, cpus, say)
        for mc0 in (SMALL, LARGE)
        for way in (MAPPED, *TRAPPED)
    }
    took = interleave(runs, rounds, warm=False)
    small, each = f"{SMALL + EDC_MIB} MiB, {name}", f"each further MiB, {name}"
    mapped, mapped_each = took[MAPPED, SMALL], _each(took[MAPPED, LARGE], took[MAPPED, SMALL])
    for way in TRAPPED:
        judged = cpus is None and way is TRAPPED[0]
        trapped, trapped_each = took[way, SMALL], _each(took[way, LARGE], took[way, SMALL])
        yield _row(small, way, mapped, trapped, Target(4) if judged else None)
        yield _row(each, way, mapped_each, trapped_each, Target(10) if judged else None)


def _row(what: str, way: Way, mapped: Series, trapped: Series, target: Target | None) -> Row:
    against = f"{way.name}, {trapped.median:.2f} s"
    return Row(GROUP, what, mapped, "s", trapped.over(mapped), against, target)


def _each(large: Series, small: Series) -> Series:
    """Returns seconds per additional MiB of `large`."""
    pairs = zip(large.values, small.values, strict=True)
    return Series(tuple((a - b) / (LARGE - SMALL) for a, b in pairs))


def _collect(
    prepared: Prepared, way: Way, mc0: int, cpus: frozenset[int] | None, say: Say
) -> float:
    """Runs a guest and returns the seconds that the driver takes in the crash kernel."""
    memory = {"memory": {"mc0": mc0}}
    server = CardServer(overrides=memory, map_window=way.map_window, spin=way.spin, cpus=cpus)
    with serving(server) as path, tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as folder:
        report = kdump.run(
            [Adapter(path)],
            Path(folder) / "vmcore",
            flow=Flow(notes_only=True),
            options=Options(affinity=cpus),
            prepared=prepared,
        )
    seconds = report.seconds[Stage.DUMPED] - report.seconds[Stage.CRASHED]
    say(f"guest, {way.name}, MC0 {mc0} MiB: {seconds:.1f} s")
    return seconds
