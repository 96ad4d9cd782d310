"""Rows as files: written as a whole, read back, and hostile ones passed over."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweeps import made

from tests.support.schema import schema
from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.errors import NotOurs
from vmcoredd.fleet.sweep.rows import PAGE, Folder, Result, Row, Subtest

CELL = Cell("t62100-cr", "6.1", "parity-cim", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "rows")
    made.open()
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def full() -> Row:
    return made(
        CELL,
        Result.FAIL,
        why="2 tests failed",
        found=True,
        lost={"EDC1": "not found"},
        findings=({"severity": "fatal", "rule": "x", "meaning": "y"},),
        exit_code=3,
        tests=(Subtest("ping", Result.SKIP, "SKIP no cable"),),
        release="6.1.0",
        elapsed_seconds=1.5,
        began="2026-11-30T08:00:00+00:00",
        host="h",
        attempts=2,
        version="1",
        key="k",
        sweep="s",
    )


def test_a_row_is_read_back_as_it_was_written(folder: Folder, work: Path) -> None:
    for kind in ("console", "vmcore"):
        (work / kind).write_text(kind)
    kept = folder.keep(full(), work)
    assert folder.row(CELL) == kept
    assert list(folder.rows()) == [kept]
    assert kept.files == {kind: f"{CELL.id}.{kind}" for kind in ("console", "vmcore")}
    assert (folder.path / kept.files["console"]).read_text() == "console"


def test_a_row_is_as_the_schema_says(folder: Folder, work: Path) -> None:
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator({"$defs": schema()["$defs"], "$ref": "#/$defs/sweep_row"})
    folder.keep(full(), work)
    validator.validate(json.loads((folder.path / f"{CELL.id}.json").read_text()))
    validator.validate(made(CELL).json())


def test_a_file_of_an_earlier_try_goes_away_with_its_row(folder: Folder, work: Path) -> None:
    (work / "vmcore").write_text("old")
    folder.keep(full(), work)
    folder.keep(full(), work)
    assert [path.name for path in folder.path.iterdir()] == [f"{CELL.id}.json"]


HOSTILE = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "another object": b'{"name": "package"}',
    "deep": b"[" * 100_000,
    "huge": b" " * (5 << 20),
    "of another format": json.dumps(full().json() | {"format": 99}).encode(),
    "an unknown result": json.dumps(full().json() | {"result": "good"}).encode(),
    "a file elsewhere": json.dumps(full().json() | {"console": "../../etc/passwd"}).encode(),
    "tests that are none": json.dumps(full().json() | {"tests": [1]}).encode(),
    "findings that are none": json.dumps(full().json() | {"findings": [1]}).encode(),
    "a list of nothing": json.dumps(full().json() | {"lost": [1]}).encode(),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_row_is_passed_over(folder: Folder, content: bytes) -> None:
    (folder.path / f"{CELL.id}.json").write_bytes(content)
    assert folder.row(CELL) is None
    assert list(folder.rows()) == []


def test_another_cells_row_under_this_name_is_no_row_of_it(folder: Folder) -> None:
    other = made(Cell("t520-cr")).json()
    (folder.path / f"{CELL.id}.json").write_text(json.dumps(other))
    assert folder.row(CELL) is None


def test_a_full_disk_leaves_the_row_before_and_nothing_else(folder: Folder, work: Path) -> None:
    folder.keep(full(), work)
    program = """
import resource, sys
from pathlib import Path
from vmcoredd.fleet.sweep.rows import Folder
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Folder(Path(sys.argv[1])).write(sys.argv[2], b"x" * 5000)
except OSError as error:
    print(error.errno)
"""
    command = [sys.executable, "-c", program, str(folder.path), f"{CELL.id}.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert int(done.stdout) == errno.EFBIG
    assert folder.row(CELL) is not None
    assert [path.name for path in folder.path.iterdir()] == [f"{CELL.id}.json"]


def test_what_a_killed_process_has_left_is_removed_and_a_live_ones_is_not(folder: Folder) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from vmcoredd.fleet.sweep.rows import Folder
folder = Folder(Path(sys.argv[1]))
with folder.token(), folder.workplace() as work:
    (work / "console").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(folder.path)])
    assert len(list(folder.path.iterdir())) == 2
    with folder.token() as token, folder.workplace() as work:
        Folder(folder.path).open()
        assert {path.name for path in folder.path.iterdir()} == {token, work.name}
    assert list(folder.path.iterdir()) == []


def test_a_page_that_is_not_ours_is_not_replaced(folder: Folder) -> None:
    (folder.path / PAGE).write_text("<html>my home page")
    with pytest.raises(NotOurs, match=r"index\.html is not a sweep's page"):
        folder.open()


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file") as error:
        Folder(tmp_path / "file").open()
    assert error.value.filename == os.fspath(tmp_path / "file")
