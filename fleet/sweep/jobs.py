"""Jobs: what an executor gets for each cell, as plain values, and the function that does one.

`tried` runs in a thread of the pool, or of a worker of Dask's. The cell itself is tried in a
process of that thread's own: that may be killed, and is, if the deadline passes or the sweep ends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.errors import NotShared
from vmcoredd.fleet.sweep.process import Died, Late, Worker
from vmcoredd.fleet.sweep.rows import FORMAT, Facts, Folder, Result, Row
from vmcoredd.qemu.kernels import is_stock

ATTEMPTS = 3
"""Processes for a cell: one that kills so many is not tried again."""
SECONDS, GUEST_SECONDS = 300.0, 1800.0
"""For a cell at most, without a guest and with one. A dump of the kernel's driver takes minutes
without KVM."""


@dataclass(frozen=True)
class Settings:
    """How cells are tried, the same for all of a sweep.

    `script`: the name of a file in the folder of rows, which a guest runs; without it, it crashes.
    `driver`: whether cxgb4 is loaded before that; None: with Debian's kernels. `wires`: as of
    `--wire`, of the one card. `memory`: a guest's, as 2G. `deadline`: seconds for a cell.
    """

    script: str = ""
    driver: bool | None = None
    wires: tuple[str, ...] = ()
    memory: str = ""
    keep_vmcore: bool = False
    deadline: float | None = None

    def loads_driver(self, kernel: str) -> bool:
        """Returns whether a guest with this kernel loads cxgb4 before it runs the script."""
        return bool(self.script) and (is_stock(kernel) if self.driver is None else self.driver)

    def seconds(self, cell: Cell) -> float:
        """Returns how long a cell may take."""
        return self.deadline or (GUEST_SECONDS if cell.is_guest else SECONDS)


@dataclass(frozen=True)
class Job:
    """A cell, and all that is needed to try it on any host that sees `folder`."""

    cell: Cell
    settings: Settings
    folder: str
    token: str
    """The name of a file in the folder that is there while the sweep is."""
    key: str
    version: str

    def json(self) -> dict[str, Any]:
        """Returns plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Job:
        """Reads what `json` made."""
        settings = record["settings"] | {"wires": tuple(record["settings"]["wires"])}
        return cls(**record | {"cell": Cell(**record["cell"]), "settings": Settings(**settings)})


def now() -> str:
    """Returns the time in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def version() -> str:
    """Returns the version of vmcoredd."""
    try:
        return version_of("vmcoredd")
    except PackageNotFoundError:
        return "(not installed)"


def key_of(cell: Cell, settings: Settings, folder: Path, *contents: str) -> str:
    """Returns a hash of what a row depends on: the cell, what is done with it, the script, the
    version of vmcoredd, and the `contents` of its card and its kernel."""
    done = dataclasses.asdict(settings)
    del done["deadline"]
    script = (folder / settings.script).read_bytes() if settings.script else b""
    if not cell.is_guest:
        done, script = {"keep_vmcore": settings.keep_vmcore}, b""
    inputs = (FORMAT, version(), dataclasses.asdict(cell), done, *contents)
    return hashlib.sha256(json.dumps(inputs).encode() + script).hexdigest()[:16]


_own = threading.local()


def tried(job: Job) -> Row:
    """Tries a cell, and returns its row, which is then in the folder.

    A process that is killed is replaced; a cell that kills several is an error. Raises Stopped if
    the sweep ends meanwhile, NotShared if this host does not see the folder or has another version,
    OSError if the folder takes no row.
    """
    folder = Folder(Path(job.folder))
    _check(job, folder)
    before = folder.row(job.cell)
    if before and (before.sweep, before.key) == (job.token, job.key):
        return before  # of a worker that died right afterwards
    began, start = now(), time.monotonic()
    with folder.workplace() as work:
        facts, attempts = _facts(job, folder, work)
        elapsed = round(time.monotonic() - start, 3)
        host, more = socket.gethostname(), (job.version, job.key, job.token)
        row = Row(job.cell, facts, elapsed, began, host, attempts, {}, *more)
        return folder.keep(row, work)


def _check(job: Job, folder: Folder) -> None:
    host = socket.gethostname()
    if not folder.path.is_dir():
        raise NotShared(f"{host} does not see {folder.path}: a cluster needs a common file system")
    if job.version != version():
        here = f"{host} has vmcoredd {version()}"
        raise NotShared(f"{here}, but the sweep is of {job.version}: install the same")
    folder.check_going_on(job.token)


def _facts(job: Job, folder: Folder, work: Path) -> tuple[Facts, int]:
    """Returns what is known of a cell after the last attempt, and the number of attempts."""
    why, seconds = "", job.settings.seconds(job.cell)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _worker() as worker:
                facts = worker.ask(
                    job.json() | {"work": str(work)},
                    seconds,
                    lambda: folder.check_going_on(job.token),
                )
            return Facts.from_json(facts), attempt
        except Late:
            return Facts(Result.FAIL, f"not done in {seconds:g} s"), attempt
        except Died as error:
            why = str(error)
    return Facts(Result.ERROR, f"{why}, {ATTEMPTS} times"), ATTEMPTS


def _worker() -> Worker:
    """Returns this thread's process, a new one if it has none that lives."""
    worker: Worker | None = getattr(_own, "worker", None)
    if worker is None or not worker.lives:
        worker = _own.worker = Worker()
    return worker


Submit = Callable[[Job], Any]
"""Submits a job to an executor; returns its concurrent.futures.Future of a row."""


def jobs_of(
    cells: Iterable[Cell], settings: Settings, folder: Folder, token: str, keys: dict[Cell, str]
) -> list[Job]:
    """Returns the cells' jobs."""
    where = str(folder.path.absolute())
    return [Job(cell, settings, where, token, keys[cell], version()) for cell in cells]
