"""Reading a dump: the verdict, the first screen and a report, against decoding all of it.

All figures are processor time, which is less disturbed by other load than the time that passes.
"""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vmcoredd import cudbg, diagnosis, emu, vmcore
from vmcoredd.bench.dumps import buffer
from vmcoredd.bench.files import MIB, decode_all
from vmcoredd.bench.measure import Row, Run, Series, Target, interleave, processor_time
from vmcoredd.bench.processes import Ran, decoding, vmcoredd
from vmcoredd.driver import dump_name, open_card

GROUP = "reading a dump, in processor time"
VERDICT = Target(0.5, at_least=False)
"""Of the time that decoding the whole dump takes."""
SCREEN = Target(1.1, at_least=False)
"""Of the time of verdict and list; a tenth for starting Python twice."""
REPORT = Target(3.0, at_least=False)
"""Of the time of decoding everything."""
PEAK_MIB = 100
"""Of `vmcoredd diagnose`."""
WITHIN = Target(1.0, at_least=False)
_DONE = (0, 5, 7)
"""Exit codes of commands that did what they are for: of a dump with findings, or with gaps, too."""
WIDTH = 80
"""Of the list, in columns."""


def measure(rounds: int) -> Iterator[Row]:
    """Measures a T6's dump in memory, then the commands on a vmcore with it."""
    raw = buffer()
    with open_card(emu.Card.load("t62100-cr")) as adapter:
        adapter.collect(raw)
        with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
            path = Path(name) / "vmcore"
            dumps = vmcore.DeviceDumps()
            dumps.add_device_dump(dump_name("0000:00:02.0"), *adapter.device_dump())
            vmcore.write(path, dumps)
            yield _verdict(raw, rounds)
            yield from _commands(raw, path, rounds)
            yield _report(path, Path(name), rounds)


def _verdict(raw: memoryview, rounds: int) -> Row:
    runs: dict[str, Run] = {
        "verdict": lambda: processor_time(lambda: diagnosis.diagnose(cudbg.Dump(raw))),
        "decode": lambda: processor_time(lambda: decode_all(raw)),
    }
    took = interleave(runs, rounds)
    against = f"decoding all of it, {took['decode'].median:.2f} s"
    ratio = took["verdict"].over(took["decode"])
    return Row(GROUP, "the verdict", took["verdict"], "s", ratio, against, VERDICT)


def _commands(raw: memoryview, path: Path, rounds: int) -> Iterator[Row]:
    judged: list[Ran] = []

    def verdict_and_list() -> float:
        judged.append(vmcoredd("diagnose", str(path), accept=_DONE))
        return judged[-1].processor_seconds + processor_time(lambda: list_entities(raw))

    runs: dict[str, Run] = {
        "show": lambda: vmcoredd("show", str(path), accept=_DONE).processor_seconds,
        "verdict and list": verdict_and_list,
    }
    took = interleave(runs, rounds)
    against = f"diagnose, and the list alone, {took['verdict and list'].median:.2f} s"
    ratio = took["show"].over(took["verdict and list"])
    yield Row(GROUP, "show: its first screen", took["show"], "s", ratio, against, SCREEN)
    peak = Series(tuple(ran.peak / MIB for ran in judged[-rounds:]))
    limit = f"{PEAK_MIB} MiB"
    yield Row(GROUP, "diagnose: peak", peak, "MiB", peak.scaled(1 / PEAK_MIB), limit, WITHIN)


def _report(path: Path, folder: Path, rounds: int) -> Row:
    """Measures what a report takes longer than a list of notes, against decoding in a process that
    is as new as the report's: both read the tables of registers."""
    numbers = itertools.count()

    def report() -> float:
        output = folder / f"report{next(numbers)}"
        done = vmcoredd("report", str(path), "-o", str(output), accept=_DONE)
        return done.processor_seconds - vmcoredd("notes", str(path)).processor_seconds

    runs: dict[str, Run] = {"report": report, "decode": lambda: decoding(path)}
    took = interleave(runs, rounds)
    against = f"decoding all of it in a new process, {took['decode'].median:.2f} s"
    ratio = took["report"].over(took["decode"])
    return Row(GROUP, "report, less Python's start", took["report"], "s", ratio, against, REPORT)


def list_entities(raw: memoryview) -> int:
    """Prints a list of the entities to nowhere; returns the number of raw bytes."""
    dump = cudbg.Dump(raw)
    sizes = {found.name: dump.size(found.name) for found in dump.entities if found.good}
    rows = [(e.number, e.name, sizes.get(e.name, ""), e.size, e.status) for e in dump.entities]
    grid = Table("#", "entity", "raw", "in the dump", "status", box=SIMPLE_HEAD, title="entities")
    for row in rows:
        grid.add_row(*map(str, row))
    Console(file=io.StringIO(), width=WIDTH).print(grid)
    return sum(sizes.values())
