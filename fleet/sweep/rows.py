"""Rows: what came of the cells, in a folder with a file for each.

A row is written beside its place and renamed, so it is there as a whole or not at all. Several
sweeps may use a folder at once. What a cell leaves besides has the row's name: its guest's
`.console`, its script's `.output`, its `.vmcore`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.errors import NotOurs, Stopped

FORMAT = 1
"""Of a row's file; a new number makes every row anew."""
MOST_BYTES = 4 << 20
"""Of a row's file that is read."""
PAGE = "index.html"
MARK = '<meta name="generator" content="vmcoredd sweep">'
"""By which a page is known to be ours, and may be replaced."""
KEPT = ("console", "output", "vmcore")
"""What a cell may leave, beside its row: a file's suffix, and the row's field with its name."""


FINDING = ("severity", "rule", "meaning")


class Result(StrEnum):
    """What came of a cell, in a word."""

    PASS = "pass"
    """A device dump was made that could be judged, of a healthy card without a finding above
    `note`; or the script succeeded."""
    FAIL = "fail"
    """There is no such dump, the kernel died, the script failed, or the time was up."""
    ERROR = "error"
    """It could not be tried: the fault is this machine's or this program's. It is tried again."""
    SKIP = "skip"
    """It cannot be: the card has no such fault, or the script said so."""


@dataclass(frozen=True)
class Subtest:
    """A result in the KTAP that a script printed."""

    name: str
    result: Result
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a cell once it was tried."""

    result: Result
    why: str = ""
    """In a line; empty for what passed."""
    found: bool | None = None
    """Whether the verdict on the dump has a finding above `note`; None without a dump."""
    lost: Mapping[str, str] | None = None
    """What the dump lacks though the card has it, with the reasons; None without a dump."""
    findings: tuple[Mapping[str, str], ...] = ()
    """Those of the verdict above `note`, causes first; FINDING has their keys."""
    exit_code: int | None = None
    """The script's."""
    tests: tuple[Subtest, ...] = ()
    release: str = ""
    """The guest's kernel, as `uname -r` prints it."""

    def json(self) -> dict[str, Any]:
        """Returns plain values."""
        lists = {"findings": [*self.findings], "tests": [*map(dataclasses.asdict, self.tests)]}
        return dataclasses.asdict(self) | lists

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Facts:
        """Reads what `json` made. Raises ValueError, LookupError, TypeError."""
        code, lost = record["exit_code"], record["lost"]
        return cls(
            Result(record["result"]),
            str(record["why"]),
            None if record["found"] is None else bool(record["found"]),
            None if lost is None else {str(name): str(lost[name]) for name in lost},
            tuple({key: str(one[key]) for key in FINDING} for one in record["findings"]),
            None if code is None else int(code),
            tuple(Subtest(t["name"], Result(t["result"]), t["why"]) for t in record["tests"]),
            str(record["release"]),
        )


@dataclass(frozen=True)
class Row:
    """A cell, and what came of it."""

    cell: Cell
    facts: Facts
    elapsed_seconds: float = 0.0
    began: str = ""
    """In ISO 8601, UTC."""
    host: str = ""
    attempts: int = 1
    """How many processes tried it: more than one if one was killed."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The names of the files that it left, by what they are: see KEPT."""
    version: str = ""
    """Of vmcoredd."""
    key: str = ""
    """A hash of all that it depends on (jobs.py)."""
    sweep: str = ""
    """The sweep that made it."""

    @property
    def result(self) -> Result:
        """What came of it, in a word."""
        return self.facts.result

    @property
    def is_final(self) -> bool:
        """Whether it need not be tried again while nothing it depends on changes."""
        return self.result is not Result.ERROR

    def json(self) -> dict[str, Any]:
        """Returns plain values: `row` in docs/reference/json-schema.json."""
        return {
            "id": self.cell.id,
            **dataclasses.asdict(self.cell),
            **self.facts.json(),
            **{name: self.files.get(name) for name in KEPT},
            "elapsed_seconds": self.elapsed_seconds,
            "began": self.began,
            "host": self.host,
            "attempts": self.attempts,
            "vmcoredd": self.version,
            "key": self.key,
            "sweep": self.sweep,
            "format": FORMAT,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Row:
        """Reads what `json` made. Raises ValueError, LookupError, TypeError for anything else."""
        if record["format"] != FORMAT:
            raise ValueError(f"a row of format {record['format']}")
        cell = Cell(record["card"], record["kernel"], record["fault"], int(record["seed"]))
        files = {name: _plain_name(record[name]) for name in KEPT if record[name]}
        more = (float(record["elapsed_seconds"]), str(record["began"]), str(record["host"]))
        about = (record["vmcoredd"], record["key"], record["sweep"])
        attempts = int(record["attempts"])
        return cls(cell, Facts.from_json(record), *more, attempts, files, *map(str, about))


def _plain_name(name: str) -> str:
    if name != os.path.basename(name):
        raise ValueError(f"{name} is not in the folder")
    return name


class Folder:
    """A folder of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Makes the folder if it is not there. Raises NotOurs, OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        page = self.path / PAGE
        if os.path.lexists(page) and MARK.encode() not in _beginning(page):
            raise NotOurs(f"{page} is not a sweep's page, and is not replaced: give another folder")
        self._tidy()

    def row(self, cell: Cell) -> Row | None:
        """Returns a cell's row; None if there is none that can be read."""
        row = _read(self.path / f"{cell.id}.json")
        return row if row and row.cell == cell else None

    def rows(self) -> Iterator[Row]:
        """Yields all rows, of other sweeps too, by the names of their cells; what is no row is
        passed over."""
        for path in sorted(self.path.glob("*.json")):
            if row := _read(path):
                yield row

    def write(self, name: str, content: bytes) -> None:
        """Writes a file as a whole, or not at all. Raises OSError."""
        target = self.path / name
        with tempfile.NamedTemporaryFile(
            dir=self.path, prefix=f".{_owner()}-", delete=False
        ) as file:
            try:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.replace(file.name, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(file.name)
                raise

    def keep(self, row: Row, work: Path) -> Row:
        """Takes what a cell left in `work` into the folder, then its row; returns the row with the
        files' names. Raises OSError."""
        files = {}
        for kind in KEPT:
            name = f"{row.cell.id}.{kind}"
            if (work / kind).exists():
                os.replace(work / kind, self.path / name)
                files[kind] = name
            else:
                (self.path / name).unlink(missing_ok=True)  # of an earlier try
        kept = dataclasses.replace(row, files=files)
        self.write(f"{row.cell.id}.json", f"{json.dumps(kept.json(), indent=1)}\n".encode())
        return kept

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """Makes a folder for a cell that is being tried, on the file system of the rows."""
        with tempfile.TemporaryDirectory(
            dir=self.path, prefix=f".{_owner()}-", ignore_cleanup_errors=True
        ) as work:
            yield Path(work)

    @contextlib.contextmanager
    def token(self) -> Iterator[str]:
        """Makes a file that is there while a sweep is: its name is the sweep's."""
        handle, name = tempfile.mkstemp(dir=self.path, prefix=f".{_owner()}-", suffix=".sweep")
        os.close(handle)
        try:
            yield Path(name).name
        finally:
            Path(name).unlink(missing_ok=True)

    def goes_on(self, token: str) -> bool:
        """Whether the sweep with this token has not ended."""
        return (self.path / token).exists()

    def check_going_on(self, token: str) -> None:
        """Raises Stopped if the sweep with this token has ended."""
        if not self.goes_on(token):
            raise Stopped("the sweep has ended")

    def _tidy(self) -> None:
        """Removes what processes of this machine that are gone have left."""
        start = f".{_machine()}+"
        for path in self.path.glob(f"{start}*"):
            process = path.name.removeprefix(start).partition("-")[0]
            if not process.isdecimal() or Path("/proc", process).exists():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _owner() -> str:
    """Returns the beginning of the names of what is removed if this process is killed."""
    return f"{_machine()}+{os.getpid()}"


def _machine() -> str:
    """Returns where process ids are one's own: containers may have one host's name."""
    return f"{socket.gethostname()}+{os.stat('/proc/self/ns/pid').st_ino}"


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _read(path: Path) -> Row | None:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            return None
        return Row.from_json(json.loads(data))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
