"""The archive of dumps: adding against decoding, memory, outliers, and queries of a large one.

Dumps are made, added and deleted a batch at a time, so the disk holds few of them. Making them is
not measured.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from vmcoredd import cudbg, emu, vmcore
from vmcoredd.bench.files import MIB, WITHIN, decode_all
from vmcoredd.bench.measure import Row, Series, Target, timed
from vmcoredd.bench.processes import vmcoredd
from vmcoredd.debs.errors import ModuleMissing, has_module
from vmcoredd.driver import dump_name, open_card
from vmcoredd.plural import counted

GROUP = "the archive of dumps"
QUICK_DUMPS, FULL_DUMPS = 120, 2000
BATCH = 40
DECODED_EVERY = 2
"""Batches: one of so many is decoded too."""
ADDING = Target(2.0, at_least=False)
"""Of the time that decoding the same dumps takes in as many processes."""
EXACT = Target(1.0)
PEAK_MIB = 400
"""Of each process that adds dumps."""
QUICK_LARGE, FULL_LARGE = 1000, 10_000
"""Dumps in the archive that is queried."""
SECONDS = 2.0
"""For a query."""
CARD = "t62100-cr"
MEMORY = {"memory": {"edc0": 1, "edc1": 1, "mc0": 1}}
"""Little memory: such a dump is decoded sooner, which makes adding harder to excuse."""
FAULTS = ("ecc-uncorrectable-edc0", "firmware-error", "parity-tp", "ecc-correctable-edc1")
"""Of the cards that are faulty, a few in each archive."""
QUERIES = {
    "whose firmware reports an error": "select serial from registers where register = 'PCIE_FW' "
    "and fields['ERR'] = 1",
    "findings by severity": "select severity, count(distinct dump) from findings group by all",
}


def measure(*, full: bool) -> Iterator[Row]:
    """Measures an archive of so many dumps. Raises `debs.ModuleMissing` without DuckDB."""
    if not has_module("duckdb"):
        raise ModuleMissing("duckdb", "archives")
    dumps, large = (FULL_DUMPS, FULL_LARGE) if full else (QUICK_DUMPS, QUICK_LARGE)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as name:
        yield from measure_in(Path(name), dumps, large)


def measure_in(folder: Path, dumps: int, large: int) -> Iterator[Row]:
    """Measures in a folder: an archive of `dumps` dumps, then one of `large`."""
    fleet, cores = folder / "fleet", len(os.sched_getaffinity(0))
    adding = _Adding(fleet, cores)
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        for start in range(0, dumps, BATCH):
            seeds = range(start, min(start + BATCH, dumps))
            paths = list(pool.map(partial(make, folder), seeds, chunksize=1))
            adding.add(paths)
            if start // BATCH % DECODED_EVERY == 0:
                adding.decode(partial(_decoded, pool, paths))
            for path in paths:
                path.unlink()
    yield from adding.rows(dumps)
    what = f"peak of the largest process, after {counted(dumps, 'dump')}"
    peak = Series((adding.largest / MIB,))
    yield Row(GROUP, what, peak, "MiB", peak.scaled(1 / PEAK_MIB), f"{PEAK_MIB} MiB", WITHIN)
    yield _outliers(fleet, dumps)
    yield from _queries(fleet, folder, dumps, large)


class _Adding:
    """Batches that were added, and those that were decoded too."""

    def __init__(self, fleet: Path, cores: int) -> None:
        self._fleet, self._cores = fleet, cores
        self._all: list[float] = []
        self._processor: list[float] = []
        self._both: list[tuple[float, float]] = []
        self.largest = 0
        """Peak of the largest process, in bytes."""

    def add(self, paths: Sequence[Path]) -> None:
        names = [str(path) for path in paths]
        done = vmcoredd("archive", "add", *names, "--into", str(self._fleet))
        self._all.append(done.seconds / len(paths))
        self._processor.append(done.processor_seconds / len(paths))
        self.largest = max(self.largest, done.largest)

    def decode(self, decoded: Callable[[], int]) -> None:
        """Times the decoding of the batch that was added last."""
        count = 0

        def run() -> None:
            nonlocal count
            count = decoded()

        seconds = timed(run)
        self._both.append((self._all[-1], seconds / count))

    def rows(self, dumps: int) -> Iterator[Row]:
        decoded = Series(tuple(decode for _, decode in self._both))
        against = f"decoding them in as many processes, {decoded.median:.3f} s a dump"
        ratio = Series(tuple(add / decode for add, decode in self._both))
        what = f"adding {counted(dumps, 'dump')}, each, on {counted(self._cores, 'CPU')}"
        note = "commands, with Python's start"
        yield Row(GROUP, what, Series(tuple(self._all)), "s", ratio, against, ADDING, note)
        yield Row(GROUP, "the same, in processor time", Series(tuple(self._processor)), "s")


def make(folder: Path, seed: int) -> Path:
    """Writes the vmcore of a card with that seed; returns its path."""
    fault = fault_of(seed)
    card = emu.Card.load(CARD, seed=seed, faults=[fault] if fault else [], **MEMORY)  # type: ignore[arg-type]
    path = folder / f"vmcore{seed}"
    with open_card(card) as adapter:
        dumps = vmcore.DeviceDumps()
        dumps.add_device_dump(dump_name("0000:01:00.4"), *adapter.device_dump())
        vmcore.write(path, dumps)
    return path


def fault_of(seed: int) -> str:
    """Returns the fault of the card with that seed; empty for most."""
    return FAULTS[seed // 10] if seed % 10 == 5 and seed // 10 < len(FAULTS) else ""


def _decoded(pool: ProcessPoolExecutor, paths: Sequence[Path]) -> int:
    return sum(pool.map(_decode, paths, chunksize=1))


def _decode(path: Path) -> int:
    """Decodes all of a vmcore's dumps; returns how many they are."""
    with vmcore.Reader(path, is_payload=cudbg.is_dump) as reader:
        for note in reader.device_dumps:
            decode_all(reader.payload(note.index))
        return len(reader.device_dumps)


def _outliers(fleet: Path, dumps: int) -> Row:
    from vmcoredd.fleet import archive

    with archive.Archive(fleet) as opened:
        found = {one.dump for one in archive.outliers(opened).found}
        sql = "select dump from findings where severity != 'note'"
        with archive.ask(opened, f"select distinct dump from ({sql})") as answer:
            alarming = {dump for (dump,) in answer}
    faulty = sum(bool(fault_of(seed)) for seed in range(dumps))
    right = len(found & alarming)
    exact = Series((right / max(len(found), faulty, 1),))
    count = Series((float(len(found)),))
    return Row(GROUP, "cards that are outliers", count, "cards", exact, f"{faulty} faulty", EXACT)


def _queries(fleet: Path, folder: Path, dumps: int, large: int) -> Iterator[Row]:
    compacting = vmcoredd("archive", "compact", "--in", str(fleet))
    seconds = Series((compacting.seconds,))
    yield Row(GROUP, f"compact of {counted(dumps, 'dump')}", seconds, "s")
    grown = folder / "large"
    times = -(-large // dumps)
    _grow(fleet, grown, times)
    vmcoredd("archive", "compact", "--in", str(grown))
    for what, sql in QUERIES.items():
        took = [vmcoredd("archive", "query", "--in", str(grown), sql) for _ in range(3)]
        series = Series(tuple(ran.seconds for ran in took))
        name = f"query of {counted(dumps * times, 'dump')}: {what}"
        within = series.scaled(1 / SECONDS)
        yield Row(GROUP, name, series, "s", within, f"{SECONDS:g} s", WITHIN)


def _grow(fleet: Path, grown: Path, times: int) -> None:
    """Makes an archive of packs with the same rows `times` times, as dumps of other cards."""
    from vmcoredd.fleet import archive
    from vmcoredd.fleet.archive.database import PARQUET
    from vmcoredd.fleet.archive.schema import TABLES, literal

    with (
        archive.Archive(fleet) as source,
        archive.Archive.made(grown) as target,
        archive.connected() as connection,
    ):
        for stem in source.packs():
            for number in range(times):
                with target.temporary() as paths:
                    for table in TABLES:
                        path = literal(str(source.file(table, stem)))
                        connection.execute(
                            f"copy (select * replace (sha256(dump || '{number}') as dump, "
                            f"serial || '-{number}' as serial) from read_parquet({path})) to "
                            f"{literal(str(paths[table]))} ({PARQUET})"
                        )
                    target.publish(target.new_pack(), paths)
