"""The unmodified Linux driver in a guest's crash kernel, with its memory window mapped or trapped.

Times the loading of the driver in the crash kernel, which probes and dumps. QEMU and the server run
on any CPU ("free") or together on one ("pinned"). Our own driver takes the same dump in a guest,
with this machine's Python. Trapped accesses are measured with a server that
spins, as the card's server does, and with one that sleeps, as plain libvfio-user servers do.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyvfio_user import SPIN
from vmcoredd.bench.measure import Row, Series, Target, interleave
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.qemu import kdump, own_python
from vmcoredd.qemu.guest import Adapter
from vmcoredd.qemu.kdump import Flow, Stage
from vmcoredd.qemu.prepare import Options, Prepared, prepare
from vmcoredd.qemu.program import address
from vmcoredd.qemu.root import find_root

GROUP = "guest"
EDC_MIB = 4
SMALL, LARGE = 8, 24
"""MiB of MC0."""
BOOT, DUMP = 120.0, 600.0
"""Deadlines in seconds, of our own driver's guest."""
FILE = "vmcore"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """How the driver reaches the card."""

    name: str
    map_window: bool
    spin: float


MAPPED = Way("window page mapped", True, SPIN)
OURS = Way("our driver through sysfs, window page mapped", True, SPIN)
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
    if cpus is None:
        yield _ours(small, mapped, rounds, partial(collect_ourselves, prepared, say))


def _ours(
    what: str, kernels: Series, rounds: int, collect: Callable[[], tuple[float, float]]
) -> Row:
    """Compares our driver in a guest's first kernel with the kernel's in a crash kernel."""
    took = [collect() for _ in range(rounds)]
    ours, whole = (Series(tuple(values)) for values in zip(*took, strict=True))
    note = f"with the start of Python, in the guest, {whole.median:.1f} s"
    against = f"the kernel's driver, {kernels.median:.2f} s"
    return Row(GROUP, f"{what}: {OURS.name}", ours, "s", kernels.over(ours), against, None, note)


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


def collect_ourselves(prepared: Prepared, say: Say) -> tuple[float, float]:
    """Runs our driver in a guest; returns the seconds of its dump, and of the whole command."""
    server = CardServer(
        overrides={"memory": {"mc0": SMALL}}, map_window=OURS.map_window, spin=OURS.spin
    )
    options = Options(crashkernel="", root=find_root(own_python.folders()))
    words = ("dump", "--pci", address(0), "-o", f"/share/{FILE}", "--json")
    with serving(server) as path, tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
        folder = Path(name)
        with prepared.guest(options, folder, folder / "console", [Adapter(path)]) as guest:
            guest.wait_for_kernel("first", BOOT)
            began = time.monotonic()
            said = guest.run(own_python.command(*words), DUMP).output
            whole = time.monotonic() - began
    (record,) = json.loads(said)["adapters"]
    seconds = float(record["elapsed_seconds"])
    say(f"guest, {OURS.name}, MC0 {SMALL} MiB: {seconds:.1f} s")
    return seconds, whole
