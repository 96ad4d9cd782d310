"""The sweep itself: which cells are to be tried, and their rows as they come."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import emu
from vmcoredd.emu import triggers
from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.errors import ClusterError
from vmcoredd.fleet.sweep.jobs import Job, Settings, Submit, jobs_of, key_of, now
from vmcoredd.fleet.sweep.rows import Facts, Folder, Result, Row

LOOK_SECONDS = 5.0
"""Between two looks at the executor while no row comes."""
KILLED = "KilledWorker"
"""Dask's error of a job whose workers died one after the other."""
Look = Callable[[], None]
"""Is called while no row comes, and may raise."""


@dataclass(frozen=True)
class Plan:
    """What is known of the cells of a sweep before it begins, in their order."""

    cells: Sequence[Cell]
    settings: Settings
    keys: Mapping[Cell, str]
    done: Mapping[Cell, Row]
    """The rows that are there and stay."""

    @property
    def todo(self) -> list[Cell]:
        """The cells that are to be tried."""
        return [cell for cell in self.cells if cell not in self.done]


def plan(
    cells: Sequence[Cell],
    settings: Settings,
    folder: Folder,
    kernels: Mapping[str, str],
    *,
    again: bool = False,
) -> Plan:
    """Returns what is to be done. `kernels` has a text for each kernel that stands for its content.

    A row stays if nothing that it depends on has changed, unless it is an error, or all are to be
    tried `again`. Raises emu.ProfileError for a card that cannot be read, emu.EmuError for a fault
    that there is not.
    """
    for fault in {fault for cell in cells for fault in cell.faults}:
        triggers.parse(fault, emu.faults())
    cards = {card: repr(emu.profile.load(card)) for card in {cell.card for cell in cells}}
    keys = {
        cell: key_of(cell, settings, folder.path, cards[cell.card], kernels.get(cell.kernel, ""))
        for cell in cells
    }
    known = {} if again else {cell: row for cell in cells if (row := folder.row(cell))}
    done = {c: row for c, row in known.items() if row.is_final and row.key == keys[c]}
    return Plan(cells, settings, keys, done)


def content_of(paths: Sequence[Path]) -> str:
    """Returns a text that stands for what is in files: a kernel's image and its driver."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def swept(
    planned: Plan, folder: Folder, submit: Submit, look: Look = lambda: None
) -> Generator[Row, None, None]:
    """Tries the cells that are to be tried; yields their rows as they come.

    When the iterator is closed, the cells that are being tried end soon. Raises SweepError, and
    OSError if a row cannot be written.
    """
    with folder.token() as token:
        jobs = jobs_of(planned.todo, planned.settings, folder, token, dict(planned.keys))
        pending: dict[Future[Row], Job] = {submit(job): job for job in jobs}
        while pending:
            done, _ = wait(pending, LOOK_SECONDS, FIRST_COMPLETED)
            if not done:
                look()
            for future in done:
                yield _row(future, pending.pop(future), folder)


def _row(future: Future[Row], job: Job, folder: Folder) -> Row:
    try:
        return future.result()
    except CancelledError as error:
        raise ClusterError("the cluster dropped the cells: its scheduler is gone") from error
    except Exception as error:
        if type(error).__name__ != KILLED:
            raise
        facts = Facts(Result.ERROR, "each worker of the cluster that tried it died")
        began, about = now(), (job.version, job.key, job.token)
        row = Row(job.cell, facts, 0.0, began, "", 1, {}, *about)
        with folder.workplace() as work:
            return folder.keep(row, work)


def counts(rows: Sequence[Row]) -> dict[Result, int]:
    """Returns how many rows have each result."""
    return {result: sum(row.result is result for row in rows) for result in Result}


def watched(look: Callable[[], str], patience: float) -> Look:
    """Returns what raises ClusterError once `look` has said for so long why nobody can work."""
    began: dict[str, float] = {}

    def check() -> None:
        why = look()
        if not why:
            began.clear()
        elif time.monotonic() - began.setdefault("at", time.monotonic()) > patience:
            raise ClusterError(why)

    return check
