"""Which files of an archive count, whatever was killed when, and who may delete them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from archives import added, asked, count, files, payload, vmcore

from vmcoredd.chip import T5, T6
from vmcoredd.fleet.archive import (
    Archive,
    ArchiveError,
    NotAnArchive,
    OtherSchema,
    compact,
)
from vmcoredd.fleet.archive.schema import TABLES, VERSION
from vmcoredd.fleet.archive.store import MARK

KILLED_AT = """
import os, signal, sys
from pathlib import Path

left = int(sys.argv[1])

def counted(real):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

from vmcoredd.fleet.archive import Archive, add, compact

archive = Archive.made(Path(sys.argv[2]))
os.replace, os.link, os.unlink = map(counted, (os.replace, os.link, os.unlink))
if sys.argv[3:]:
    list(add(archive, [Path(sys.argv[3])]))
else:
    compact(archive)
"""
"""A run that is killed before its n-th renaming or removal of a file."""
Rows = dict[str, list[tuple[object, ...]]]
RENAMED = len(TABLES)
"""Files that get a name for a dump."""


def killed(at: int, fleet: Path, *paths: Path) -> int:
    """Runs it; returns its exit code."""
    words = [sys.executable, "-c", KILLED_AT, str(at), str(fleet), *map(str, paths)]
    return subprocess.run(words, check=False, timeout=120).returncode


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vmcore of the second card."""
    return vmcore(tmp_path_factory.mktemp("second") / "vmcore", payload(T6))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with one dump; to be copied."""
    folder = tmp_path_factory.mktemp("one")
    added(folder / "fleet", vmcore(folder / "first", payload(T5)))
    return folder / "fleet"


@pytest.fixture(scope="module")
def two(one: Path, second: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with both; to be copied."""
    folder = tmp_path_factory.mktemp("two") / "fleet"
    added(shutil.copytree(one, folder), second)
    return folder


@pytest.fixture
def fleet(one: Path, tmp_path: Path) -> Path:
    """An archive with one dump."""
    return shutil.copytree(one, tmp_path / "fleet")


def rows(fleet: Path) -> Rows:
    """All rows of an archive."""
    return {table: asked(fleet, f"select * from {table} order by all") for table in TABLES}


@pytest.fixture(scope="module")
def rows_of_one(one: Path) -> Rows:
    return rows(one)


@pytest.fixture(scope="module")
def rows_of_two(two: Path) -> Rows:
    return rows(two)


@pytest.mark.parametrize("at", range(RENAMED))
def test_a_dump_of_a_killed_run_does_not_count_until_it_is_whole(
    fleet: Path, second: Path, rows_of_one: Rows, at: int
) -> None:
    assert killed(at, fleet, second) == -signal.SIGKILL
    assert rows(fleet) == rows_of_one
    assert killed(99, fleet, second) == 0
    assert asked(fleet, "select card from dumps order by 1") == [("T520-CR",), ("T62100-CR",)]
    assert count(fleet, "(select distinct dump from registers)") == 2


def test_what_a_killed_run_left_is_deleted_by_the_next_compact(fleet: Path, second: Path) -> None:
    assert killed(2, fleet, second) == -signal.SIGKILL
    assert any(name.endswith(".part") for name in files(fleet))
    with Archive(fleet) as archive:
        compact(archive)
    assert len(files(fleet)) == len(TABLES) + len([MARK, "lock"])


@pytest.mark.parametrize("at", range(3 * RENAMED + 2))
def test_a_compact_that_is_killed_loses_and_doubles_nothing(
    two: Path, tmp_path: Path, rows_of_two: Rows, at: int
) -> None:
    fleet = shutil.copytree(two, tmp_path / "fleet")
    killed(at, fleet)
    assert rows(fleet) == rows_of_two
    with Archive(fleet) as archive:
        assert compact(archive).alone
    assert rows(fleet) == rows_of_two
    assert len(files(fleet)) == len(TABLES) + len([MARK, "lock"])


def test_dumps_can_be_added_while_an_archive_is_compacted(fleet: Path, second: Path) -> None:
    with Archive(fleet) as archive, Archive(fleet):
        done = compact(archive, lambda done, total: added(fleet, second) and None)
    assert (done.dumps, done.deleted, done.alone) == (1, 0, False)
    assert count(fleet) == 2
    with Archive(fleet) as archive:
        assert compact(archive).deleted
    assert count(fleet) == 2
    assert len(list((fleet / "dumps").iterdir())) == 1


def test_of_two_that_write_the_same_dump_one_wins(fleet: Path, second: Path) -> None:
    words = [sys.executable, "-c", KILLED_AT, "99", str(fleet), str(second)]
    both = [subprocess.Popen(words) for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert count(fleet) == 2
    assert count(fleet, "(select distinct dump from registers)") == 2


ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=$1k none "$2"
cp -a "$3"/. "$2"
shift 3
set +e
"$@"
code=$?
set -e
rm -f "$FLEET"/filler
cd "$FLEET"
find . -type f | sort >"$LISTED"
exit $code
"""
"""Runs a command on a copy of an archive, on a file system of its own with so many KiB."""
PAGE_KIB, SPARE_KIB = 4, 24
"""Of such a file system: of a file or folder at least, and less than any command needs."""


def on_a_small_disk(fleet: Path, tmp_path: Path, *words: object) -> tuple[int, str]:
    """Returns the command's exit code and errors; the files that are left are those of before."""
    disk, listed = tmp_path / "disk", tmp_path / "listed"
    pages = [-(-path.stat().st_size // (PAGE_KIB << 10)) for path in fleet.rglob("*")]
    kib = sum(pages) * PAGE_KIB + SPARE_KIB
    disk.mkdir()
    shell = ["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", str(kib), str(disk), str(fleet)]
    command = [sys.executable, "-m", "vmcoredd", "archive", *map(str, words)]
    environment = os.environ | {"FLEET": str(disk), "LISTED": str(listed)}
    done = subprocess.run(
        [*shell, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert listed.exists(), done.stderr
    assert sorted(listed.read_text().split()) == [f"./{name}" for name in files(fleet)]
    return done.returncode, done.stderr


def test_a_full_disk_is_told_and_leaves_what_was_there(
    fleet: Path, second: Path, tmp_path: Path
) -> None:
    words = ("add", second, "--into", tmp_path / "disk", "-j", 1)
    code, said = on_a_small_disk(fleet, tmp_path, *words)
    assert (code, "No space left on device" in said, "Traceback" in said) == (1, True, False)


def test_a_full_disk_leaves_what_compact_found(fleet: Path, tmp_path: Path) -> None:
    code, said = on_a_small_disk(fleet, tmp_path, "compact", "--in", tmp_path / "disk")
    assert (code, "No space left on device" in said, "Traceback" in said) == (1, True, False)


def test_a_folder_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep me")
    with pytest.raises(NotAnArchive, match="neither an archive nor empty"):
        Archive.made(tmp_path)
    with pytest.raises(NotAnArchive, match="`vmcoredd archive add FOLDER --into"):
        Archive(tmp_path)
    assert os.listdir(tmp_path) == ["mine"]


def test_an_empty_folder_becomes_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    added(folder)
    assert count(folder) == 0


def test_an_archive_of_a_newer_schema_is_refused(fleet: Path) -> None:
    mark = json.loads((fleet / MARK).read_text())
    (fleet / MARK).write_text(json.dumps(mark | {"schema": VERSION + 1}))
    with pytest.raises(OtherSchema, match="a newer vmcoredd reads it"):
        Archive(fleet)
    with pytest.raises(OtherSchema):
        Archive.made(fleet)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "vmcoredd archive"}', "\0"])
def test_a_damaged_mark_is_told(fleet: Path, text: str) -> None:
    (fleet / MARK).write_text(text)
    with pytest.raises(ArchiveError, match="damaged"):
        Archive(fleet)


def test_a_damaged_table_is_told(fleet: Path) -> None:
    (path,) = (fleet / "findings").iterdir()
    path.write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(ArchiveError):
        count(fleet, "findings")


def test_nobody_else_can_read_an_archive(fleet: Path) -> None:
    assert fleet.stat().st_mode & 0o077 == 0
    assert {(fleet / name).stat().st_mode & 0o077 for name in files(fleet)} == {0}
