"""`vmcoredd archive`: what it prints, how it exits, and what it does with a reader that goes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from archives import CRASHTIME, FOREIGN, OTHER, payload, vmcore
from cliruns import PATIENCE, Run, command, ended, one_line, spawned

from vmcoredd.chip import T5, T6
from vmcoredd.cli.exit_codes import Exit


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as kdump leaves it."""
    top = tmp_path_factory.mktemp("crash")
    vmcore(top / "good", payload(T6))
    vmcore(top / "faulty", payload(T6, "firmware-error", seed=7), (OTHER, FOREIGN))
    vmcore(top / "t5", payload(T5))
    (top / "dmesg.txt").write_text("Linux version 6.1\n")
    return top


@pytest.fixture(scope="module")
def fleet(crashes: Path) -> Path:
    """An archive of them."""
    folder = crashes.with_name("fleet")
    done = spawned("archive", "add", crashes, "--into", folder, "-j", 2)
    assert done.returncode == Exit.OK, done.stderr
    return folder


def test_add_says_what_it_did(vmcoredd: Run, crashes: Path, tmp_path: Path) -> None:
    result = vmcoredd("archive", "add", crashes, "--into", tmp_path / "fleet", "-j", 1)
    said = "3 dumps added, 0 known already, 1 dump of other drivers, 1 other entry left aside"
    assert (result.code, result.out) == (Exit.OK, f"{tmp_path / 'fleet'}: {said}\n")
    again = vmcoredd("archive", "add", crashes, "--into", tmp_path / "fleet", "-j", 1, "--json")
    assert (again.json["added"], again.json["known"], again.json["skipped"]) == (0, 4, 1)


def test_a_file_that_cannot_be_read_is_told_once(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "vmcore").write_bytes(b"\0" * 99)
    words = ("archive", "add", tmp_path / "vmcore", "--into", tmp_path / "fleet", "-j", 1)
    result = vmcoredd(*words)
    assert result.code == Exit.BAD_FILE
    assert one_line(result).startswith(f"vmcoredd: {tmp_path / 'vmcore'}: the file: need")
    assert vmcoredd(*words).code == Exit.OK


def test_many_broken_files_are_counted_and_a_query_lists_them(
    vmcoredd: Run, tmp_path: Path
) -> None:
    top = tmp_path / "crash"
    top.mkdir()
    for number in range(25):
        (top / f"v{number}").write_bytes(b"\0broken %d" % number)
    result = vmcoredd("archive", "add", top, "--into", tmp_path / "fleet", "-j", 1)
    assert result.code == Exit.BAD_FILE
    assert len(result.err.splitlines()) == 20
    assert "5 more files: `vmcoredd archive query --in" in result.out
    sql = "select file, error from dumps where error != ''"
    found = vmcoredd("archive", "query", "--in", tmp_path / "fleet", sql, "--json").json
    assert len(found["rows"]) == 25


def test_a_name_that_nothing_has_makes_no_archive(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("archive", "add", tmp_path / "absent", "--into", tmp_path / "fleet")
    assert (result.code, (tmp_path / "fleet").exists()) == (Exit.FAILED, False)
    assert one_line(result).endswith("absent: No such file or directory")


def test_a_query_is_a_table_json_or_csv(vmcoredd: Run, fleet: Path) -> None:
    sql = "select card, count(*) as n from dumps where condition = 'good' group by 1 order by 1"
    words = ("archive", "query", "--in", fleet, sql)
    table = vmcoredd(*words)
    assert table.code == Exit.OK
    assert [line.split() for line in table.out.splitlines() if "CR" in line] == [
        ["T520-CR", "1"],
        ["T62100-CR", "2"],
    ]
    rows = [{"card": "T520-CR", "n": 1}, {"card": "T62100-CR", "n": 2}]
    found = vmcoredd(*words, "--json").json
    assert (found["rows"], found["rows_left_out"]) == (rows, False)
    assert found["columns"] == [
        {"name": "card", "type": "VARCHAR"},
        {"name": "n", "type": "BIGINT"},
    ]
    read = list(csv.DictReader(io.StringIO(vmcoredd(*words, "--csv").out)))
    assert read == [{"card": row["card"], "n": str(row["n"])} for row in rows]


def test_values_of_every_kind_are_plain_json(vmcoredd: Run, fleet: Path) -> None:
    sql = (
        f"select to_timestamp({CRASHTIME})::timestamp as t, 1.5::decimal(4,2) as d, "
        "sum(range) as h, 'nan'::double as nan, [1, null] as l, {'a': 'x'} as s, "
        "map {'k': 2} as m, '\\xAA'::blob as b, true as yes, null as n, "
        "interval 1 day as i, date '2020-01-02' as day from range(3)"
    )
    (row,) = vmcoredd("archive", "query", "--in", fleet, sql, "--json").json["rows"]
    assert row == {
        "t": "2020-09-13T12:26:40",
        "d": 1.5,
        "h": 3,
        "nan": None,
        "l": [1, None],
        "s": {"a": "x"},
        "m": {"k": 2},
        "b": "aa",
        "yes": True,
        "n": None,
        "i": "1 day, 0:00:00",
        "day": "2020-01-02",
    }


def test_a_row_that_fits_no_screen_is_a_block_of_lines(fleet: Path) -> None:
    done = spawned("archive", "query", "--in", fleet, "select * from dumps limit 1")
    assert done.stdout.splitlines()[0].split()[0] == "dump"


def test_rows_are_limited_and_the_limit_is_told(vmcoredd: Run, fleet: Path) -> None:
    words = ("archive", "query", "--in", fleet, "from range(5)")
    result = vmcoredd(*words, "--rows", 2)
    assert "only the first 2 rows are shown: --rows 0 shows all" in result.err
    assert vmcoredd(*words, "--rows", 2, "--json").json["rows_left_out"]
    assert len(vmcoredd(*words, "--rows", 0, "--json").json["rows"]) == 5


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from dumpz", 'Did you mean "dumps"'),
        ("copy dumps to '/tmp/out.csv'", "the archive answers one SELECT, and changes nothing"),
        ("select * from read_text('/etc/passwd')", "Permission Error"),
    ],
)
def test_a_wrong_query_is_wrong_usage(vmcoredd: Run, fleet: Path, sql: str, said: str) -> None:
    result = vmcoredd("archive", "query", "--in", fleet, sql)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert said in result.err
    assert one_line(result)


def test_a_folder_without_an_archive_is_wrong_usage(vmcoredd: Run, tmp_path: Path) -> None:
    for words in (["query", "select 1"], ["outliers"], ["compact"], ["report", "-o", "x"]):
        result = vmcoredd("archive", *words, "--in", tmp_path / "absent")
        assert result.code == Exit.USAGE
        assert "no archive of dumps is there; `vmcoredd archive add FOLDER" in one_line(result)


def test_an_archive_of_a_newer_program_is_a_bad_file(
    vmcoredd: Run, fleet: Path, tmp_path: Path
) -> None:
    (tmp_path / "archive.json").write_text('{"format": "vmcoredd archive", "schema": 99}')
    result = vmcoredd("archive", "query", "--in", tmp_path, "select 1")
    assert result.code == Exit.BAD_FILE
    assert "a newer vmcoredd reads it" in one_line(result)


def test_a_register_that_differs_anyway_is_not_compared(vmcoredd: Run, fleet: Path) -> None:
    words = ("archive", "outliers", "--in", fleet, "--register")
    result = vmcoredd(*words, "SGE_STAT_TOTAL")
    assert result.code == Exit.USAGE
    assert "SGE_STAT_TOTAL differs from card to card: it is a counter or a clock" in result.err
    result = vmcoredd(*words, "PCIE_FV")
    assert (result.code, "did you mean PCIE_FW" in result.err) == (Exit.USAGE, True)
    assert vmcoredd(*words, "pcie_f*", "--json").json["outliers"] == []


def test_a_report_is_one_page_that_loads_nothing(
    vmcoredd: Run, fleet: Path, tmp_path: Path
) -> None:
    words = ("archive", "report", "--in", fleet, "-o", tmp_path / "page")
    result = vmcoredd(*words)
    assert result.code == Exit.OK
    assert "3 dumps of 3 cards" in result.out
    page = (tmp_path / "page/index.html").read_text()
    assert "firmware-crash" in page or "firmware-error" in page
    assert "default-src 'none'" in page
    assert not [word for word in ("src=", 'href="http', "<script", "@import") if word in page]
    record = json.loads((tmp_path / "page/findings.json").read_text())
    assert (record["command"], record["dumps"], record["foreign"]) == ("archive report", 3, 1)
    assert vmcoredd(*words).code == Exit.FAILED
    assert vmcoredd(*words, "--force", "--json").json["dumps"] == 3


def test_compact_changes_no_answer(vmcoredd: Run, crashes: Path, tmp_path: Path) -> None:
    vmcoredd("archive", "add", crashes, "--into", tmp_path / "fleet", "-j", 1)
    words = ("archive", "query", "--in", tmp_path / "fleet", "from findings order by all", "--csv")
    before = vmcoredd(*words).out
    result = vmcoredd("archive", "compact", "--in", tmp_path / "fleet")
    assert result.code == Exit.OK
    assert "4 dumps in 1 file of each table, 20 files deleted" in result.out
    assert vmcoredd(*words).out == before
    assert "nothing to do" in vmcoredd("archive", "compact", "--in", tmp_path / "fleet").out


def test_a_reader_that_goes_ends_a_query_without_a_word(fleet: Path) -> None:
    words = command("archive", "query", "--in", fleet, "select * from range(50_000_000)", "--csv")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == Exit.OK
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_query_can_be_ended(fleet: Path, number: signal.Signals) -> None:
    sql = "select sum(a.range * b.range) from range(10_000_000) a, range(10_000_000) b"
    words = command("archive", "query", "--in", fleet, f"select 1; {sql}"[10:])
    reading, writing = os.pipe()
    environment = os.environ | {"PYTHONVERBOSE": "1"}  # says when DuckDB is there
    with (
        os.fdopen(reading, "rb") as said,
        subprocess.Popen(words, stderr=writing, stdout=subprocess.DEVNULL, env=environment) as one,
    ):
        os.close(writing)
        while b"import 'duckdb" not in said.readline():
            pass
        one.send_signal(number)
        assert one.wait(PATIENCE) == 128 + number
        assert b"Traceback" not in said.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_add_that_is_ended_can_be_run_again(
    crashes: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = ("archive", "add", crashes, "--into", tmp_path / "fleet", "-j", 2)
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "fleet/dumps").exists():
            assert process.poll() is None
        result = ended(process, number)
    assert result.code in (128 + number, -number)
    assert "Traceback" not in result.err
    assert spawned(*words).returncode == Exit.OK
    found = spawned("archive", "query", "--in", tmp_path / "fleet", "select count(*) n from dumps")
    assert found.stdout.split()[-1] == "4"
