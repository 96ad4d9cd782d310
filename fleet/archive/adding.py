"""Adds files to an archive, in several processes: each reads files and writes their dumps' rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmcoredd.driver.workers import die_with
from vmcoredd.fleet.archive.database import Writer, duckdb_errors
from vmcoredd.fleet.archive.errors import ArchiveError
from vmcoredd.fleet.archive.schema import LAST, literal
from vmcoredd.fleet.archive.sources import sources
from vmcoredd.fleet.archive.store import Archive, loose

if TYPE_CHECKING:
    from vmcoredd.fleet.archive.rows import Found, Made

_WAITING = 4
"""Files for each process that wait for it."""


class Known(NamedTuple):
    """A dump that was in the archive already."""

    dump: str
    same_rules: bool


class Added(NamedTuple):
    """A dump that was added, or a file of which nothing could be read."""

    dump: str
    condition: str
    error: str


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    path: Path
    added: tuple[Added, ...] = ()
    known: tuple[Known, ...] = ()
    skipped: str = ""
    failed: str = ""
    """Why the file could not be opened or read."""


@dataclass
class _Run:
    """Folders that could not be read."""

    failed: list[Outcome] = field(default_factory=list)

    def on_error(self, error: OSError) -> None:
        name = Path(os.fsdecode(error.filename or ""))
        self.failed.append(Outcome(name, failed=error.strerror or str(error)))


def add(
    archive: Archive,
    paths: Iterable[Path],
    *,
    jobs: int = 1,
    again: bool = False,
) -> Generator[Outcome, None, None]:
    """Adds every dump in the files and folders `paths`; yields what came of each file.

    A dump that the archive has is left as it is; with `again` it is read once more, and its new
    rows replace the old ones. Raises ArchiveError and OSError if the archive cannot be written;
    what was added until then is there.
    """
    run = _Run()
    read = partial(_added, archive, again)
    for outcome in _each(archive, sources(paths, run.on_error), jobs, again, read):
        yield from run.failed
        run.failed.clear()
        yield outcome
    yield from run.failed


def _each(
    archive: Archive,
    found: Iterable[tuple[Path, str]],
    jobs: int,
    again: bool,
    read: Callable[[Writer, Path], Outcome],
) -> Iterator[Outcome]:
    if jobs > 1:
        yield from _in_processes(archive, found, jobs, again)
        return
    writer = Writer()
    for path, skipped in found:
        yield Outcome(path, skipped=skipped) if skipped else read(writer, path)


def _in_processes(
    archive: Archive, found: Iterable[tuple[Path, str]], jobs: int, again: bool
) -> Iterator[Outcome]:
    """Hands files to processes, a few at a time, however many there are."""
    parent = os.getpid()
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (archive.path, again, parent))
    waiting: set[Future[Outcome]] = set()
    try:
        for path, skipped in found:
            if skipped:
                yield Outcome(path, skipped=skipped)
                continue
            waiting.add(pool.submit(_read, path))
            if len(waiting) >= jobs * _WAITING:
                yield from _ended(waiting)
        while waiting:
            yield from _ended(waiting)
    except BrokenProcessPool as error:
        what = "a process that read dumps was killed; what it had not finished is not added"
        raise ArchiveError(f"{archive.path}: {what}: run it again, perhaps with -j 1") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ended(waiting: set[Future[Outcome]]) -> Iterator[Outcome]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    waiting -= done
    for future in done:
        yield future.result()


_of_this_process: Callable[[Path], Outcome]


def _begin(folder: Path, again: bool, parent: int) -> None:
    """Prepares a process: the one that started it ends it."""
    global _of_this_process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(parent)
    _of_this_process = partial(_added, Archive(folder), again, Writer())


def _read(path: Path) -> Outcome:
    return _of_this_process(path)


def _added(archive: Archive, again: bool, writer: Writer, path: Path) -> Outcome:
    """Adds the dumps of one file."""
    from vmcoredd.fleet.archive.rows import dumps_in

    added: list[Added] = []
    known: list[Known] = []
    failed = ""
    found = dumps_in(path)
    while True:
        try:
            one = next(found, None)
            made = one and _made(archive, again, writer, one)
        except OSError as error:
            failed = error.strerror or str(error)
            one = None
        if one is None:
            return Outcome(path, (*added,), (*known,), failed=failed)
        with duckdb_errors(str(archive.path)):
            if made and (stored := _stored(archive, writer, *made)):
                added.append(stored)
            else:
                known.append(_known(archive, writer, one.dump))


def _made(archive: Archive, again: bool, writer: Writer, found: Found) -> tuple[Made, int] | None:
    """Reads a dump that is to be added; returns it with its generation, or None."""
    with duckdb_errors(str(archive.path)):
        newest = _generation(archive, writer, found.dump)
    if newest is None:
        return found.read(), 0
    return (found.read(), newest + 1) if again else None


def _stored(archive: Archive, writer: Writer, made: Made, generation: int) -> Added | None:
    """Writes a dump's rows; returns None if another process has just written them."""
    with archive.temporary() as paths:
        for table, path in paths.items():
            writer.write(table, made.keys, made.lines(table, generation), path)
        if not archive.publish(loose(made.dump, generation), paths):
            return None
    return Added(made.dump, made.condition, str(made.about["error"]))


def _generation(archive: Archive, writer: Writer, dump: str) -> int | None:
    """Returns the newest generation of a dump; None if the archive does not have it."""
    newest = None
    if packs := archive.in_packs():
        sql = f"select max(generation) from {packs} where dump = $1"
        (newest,) = writer.connection.execute(sql, [dump]).one()
    at = 0 if newest is None else newest + 1
    while archive.has_loose(dump, at):
        newest, at = at, at + 1
    return newest


def _known(archive: Archive, writer: Writer, dump: str) -> Known:
    """Says whether the rules of today judged a dump that the archive has."""
    from vmcoredd.fleet.archive.rows import rules

    newest = _generation(archive, writer, dump)
    path = archive.file(LAST, loose(dump, newest or 0))
    source = archive.in_packs()
    if path.exists():
        source = f"read_parquet({literal(str(path))})"
    sql = f"select rules from {source} where dump = $1 and generation = $2"
    (judged,) = writer.connection.execute(sql, [dump, newest]).one()
    return Known(dump, judged == rules())
