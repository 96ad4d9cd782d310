"""What is added to an archive, from which files, and what a second run changes."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from archives import CRASHTIME, FOREIGN, OTHER, SIZE, added, asked, count, files, payload, vmcore
from vmcore_files import Elf, flattened, kdump, prstatus, vmcoreinfo
from vmcore_files import dump_note as note_of

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6
from vmcoredd.fleet.archive import compact
from vmcoredd.fleet.archive.store import Archive


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Where the archive will be."""
    return tmp_path / "fleet"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_dump_is_named_by_the_sha256_of_its_payload(tmp_path: Path, fleet: Path) -> None:
    (outcome,) = added(fleet, vmcore(tmp_path / "vmcore", payload()))
    assert [one.dump for one in outcome.added] == [sha(payload())]
    assert asked(fleet, "select dump, condition, note from dumps") == [(sha(payload()), "good", 1)]


def test_all_dumps_of_a_vmcore_are_added(tmp_path: Path, fleet: Path) -> None:
    added(fleet, vmcore(tmp_path / "vmcore", payload(T6), payload(T5)))
    rows = asked(fleet, "select card, chip from dumps order by 1")
    assert rows == [("T520-CR", "T5 rev 1"), ("T62100-CR", "T6 rev 0")]
    for table in ("entities", "registers", "log"):
        found = asked(fleet, f"select distinct dump from {table}")
        assert {dump for (dump,) in found} == {sha(payload(T6)), sha(payload(T5))}


def test_another_drivers_dump_is_a_row_that_says_so(tmp_path: Path, fleet: Path) -> None:
    added(fleet, vmcore(tmp_path / "vmcore", (OTHER, FOREIGN), payload()))
    rows = asked(fleet, "select name, condition, dump from dumps order by note")
    assert rows[0] == (OTHER, "foreign", sha(FOREIGN))
    assert rows[1][1] == "good"


def test_adding_twice_changes_nothing(tmp_path: Path, fleet: Path) -> None:
    path = vmcore(tmp_path / "vmcore", payload())
    added(fleet, path)
    before = {name: (fleet / name).stat().st_mtime_ns for name in files(fleet)}
    (outcome,) = added(fleet, path)
    assert outcome.added == ()
    assert [(one.dump, one.same_rules) for one in outcome.known] == [(sha(payload()), True)]
    assert {name: (fleet / name).stat().st_mtime_ns for name in files(fleet)} == before


def test_the_same_payload_under_two_paths_is_one_dump(tmp_path: Path, fleet: Path) -> None:
    first, second = (vmcore(tmp_path / name, payload()) for name in ("a", "b"))
    bare = tmp_path / "c"
    bare.write_bytes(payload())
    outcomes = added(fleet, first, second, bare)
    assert [len(one.added) for one in outcomes] == [1, 0, 0]
    assert asked(fleet, "select file from dumps") == [(str(first),)]


def test_a_file_of_ethtool_and_one_of_makedumpfile_are_read(tmp_path: Path, fleet: Path) -> None:
    bare, packed = tmp_path / "ethtool", tmp_path / "kdump"
    bare.write_bytes(payload(T5))
    packed.write_bytes(kdump(vmcoreinfo() + note_of(b"cxgb4_0000:01:00.4", payload())))
    added(fleet, bare, packed)
    rows = asked(fleet, "select file, condition, card from dumps order by 1")
    assert rows == [(str(bare), "good", "T520-CR"), (str(packed), "good", "T62100-CR")]


def test_a_flattened_file_is_read(tmp_path: Path, fleet: Path) -> None:
    whole = vmcore(tmp_path / "whole", payload()).read_bytes()
    path = tmp_path / "flat"
    path.write_bytes(flattened([(0, whole)]))
    added(fleet, path)
    assert asked(fleet, "select condition from dumps") == [("good",)]


def test_the_time_is_the_kernels_or_else_the_files(tmp_path: Path, fleet: Path) -> None:
    told = vmcore(tmp_path / "told", payload(T6))
    untold = vmcore(tmp_path / "untold", payload(T5), info=b"OSRELEASE=6.1.0\n")
    os.utime(untold, (CRASHTIME + 1, CRASHTIME + 1))
    added(fleet, told, untold)
    rows = asked(fleet, "select epoch(time), time_source from dumps order by 1")
    assert rows == [(CRASHTIME, "crash"), (CRASHTIME + 1, "file")]


def test_a_crashtime_of_nonsense_is_no_time(tmp_path: Path, fleet: Path) -> None:
    path = vmcore(tmp_path / "vmcore", payload(), info=b"CRASHTIME=99999999999999999999\n")
    added(fleet, path)
    assert asked(fleet, "select time_source from dumps") == [("file",)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "an empty file"),
        (b"\x1f\x8b" + bytes(99), "a gzip file"),
        (bytes(range(256)), "first bytes 00 01 02"),
        (bytes(Elf(notes=[prstatus()]))[:70], "need"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_a_row_that_says_why(
    tmp_path: Path, fleet: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "vmcore"
    path.write_bytes(content)
    (outcome,) = added(fleet, path)
    ((condition, error, file, card),) = asked(
        fleet, "select condition, error, file, card from dumps"
    )
    assert (condition, file, card) == ("unreadable", str(path), "")
    assert why in error
    assert outcome.added[0].error == error
    assert added(fleet, path)[0].added == ()


def test_a_vmcore_without_a_dump_is_empty_and_not_unreadable(tmp_path: Path, fleet: Path) -> None:
    added(fleet, vmcore(tmp_path / "vmcore"))
    assert asked(fleet, "select condition, error from dumps") == [("empty", "")]


def test_of_a_dump_that_is_cut_what_is_left_is_added(tmp_path: Path, fleet: Path) -> None:
    path = vmcore(tmp_path / "vmcore", payload())
    os.truncate(path, path.stat().st_size - SIZE + cudbg.Dump(payload()).end * 3 // 4)
    added(fleet, path)
    ((condition, damage),) = asked(fleet, "select condition, damage from dumps")
    assert condition == "damaged"
    assert any("lost" in line for line in damage)
    assert count(fleet, "registers") > 0


def test_a_payload_of_garbage_is_a_row_that_says_why(tmp_path: Path, fleet: Path) -> None:
    added(fleet, vmcore(tmp_path / "vmcore", bytes(4096)))
    assert asked(fleet, "select condition, error from dumps") == [
        ("unreadable", "not a cudbg dump: signature 0x0")
    ]


def test_a_file_that_nobody_may_read_is_told_and_is_no_row(tmp_path: Path, fleet: Path) -> None:
    (outcome,) = added(fleet, tmp_path / "absent")
    assert outcome.failed == "No such file or directory"
    assert count(fleet) == 0


def test_folders_are_searched_and_links_to_folders_not_followed(
    tmp_path: Path, fleet: Path
) -> None:
    top = tmp_path / "crash"
    (top / "a" / "b").mkdir(parents=True)
    vmcore(top / "a" / "b" / "vmcore", payload(T6))
    vmcore(top / "vmcore", payload(T5))
    (top / "a" / "loop").symlink_to(top)
    (top / "linked").symlink_to(top / "vmcore")
    (top / "nowhere").symlink_to(top / "absent")
    (top / "dmesg.txt").write_text("[    0.000000] Linux version 6.1\n")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
        outcomes = added(fleet, top)
    assert count(fleet) == 2
    skipped = {one.path.name: one.skipped for one in outcomes if one.skipped}
    assert skipped == {
        "loop": "a link to a folder",
        "nowhere": "a link that leads nowhere",
        "dmesg.txt": "a text",
        "fifo": "no regular file",
        "socket": "no regular file",
    }


def test_the_archive_is_not_searched_itself(tmp_path: Path, fleet: Path) -> None:
    vmcore(tmp_path / "vmcore", payload())
    added(fleet, tmp_path)
    outcomes = added(fleet, tmp_path)
    assert [one.path for one in outcomes if one.skipped == "an archive"] == [fleet]
    assert count(fleet) == 1


def test_again_replaces_the_rows_of_a_dump(tmp_path: Path, fleet: Path) -> None:
    first, second = (vmcore(tmp_path / name, payload()) for name in ("a", "b"))
    added(fleet, first)
    registers = count(fleet, "registers")
    added(fleet, second, again=True)
    assert asked(fleet, "select file, generation from dumps") == [(str(second), 1)]
    assert count(fleet, "registers") == registers


def test_again_replaces_the_rows_that_a_pack_has(tmp_path: Path, fleet: Path) -> None:
    path = vmcore(tmp_path / "vmcore", payload(T6), payload(T5))
    added(fleet, path)
    with Archive(fleet) as archive:
        compact(archive)
    one = tmp_path / "one"
    one.write_bytes(payload(T6))
    assert added(fleet, one)[0].known
    added(fleet, one, again=True)
    rows = asked(fleet, "select card, generation from dumps order by 1")
    assert rows == [("T520-CR", 0), ("T62100-CR", 1)]
    with Archive(fleet) as archive:
        compact(archive)
    assert asked(fleet, "select card, generation from dumps order by 1") == rows
    assert len(list((fleet / "dumps").iterdir())) == 1


def test_a_dump_that_other_rules_judged_is_told(
    tmp_path: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vmcore(tmp_path / "vmcore", payload())
    added(fleet, path)
    monkeypatch.setattr("vmcoredd.fleet.archive.rows.rules", lambda: "of tomorrow")
    assert [one.same_rules for one in added(fleet, path)[0].known] == [False]


def test_several_processes_add_what_one_does(tmp_path: Path) -> None:
    top = tmp_path / "crash"
    top.mkdir()
    for seed in range(3):
        vmcore(top / str(seed), payload(seed=seed))
        vmcore(top / f"{seed}-copy", payload(seed=seed))
    (top / "broken").write_bytes(b"\0broken")
    alone, together = tmp_path / "alone", tmp_path / "together"
    added(alone, top)
    outcomes = added(together, top, jobs=2)
    assert sum(len(one.added) for one in outcomes) == 4
    for table in ("dumps", "entities", "registers", "log", "findings"):
        left_out = " exclude (file)" if table == "dumps" else ""
        sql = f"select *{left_out} from {table} order by all"
        assert asked(together, sql) == asked(alone, sql)


def test_hostile_texts_stay_texts(tmp_path: Path, fleet: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff'; drop table dumps; --\n"
    path = Path(os.fsdecode(name))
    vmcore(path, ("evil' \x1b[2J", FOREIGN))
    added(fleet, path)
    assert asked(fleet, "select name from dumps") == [("evil' \\x1b[2J",)]
    ((file,),) = asked(fleet, "select file from dumps")
    assert file.endswith("\\xff'; drop table dumps; --\n")
