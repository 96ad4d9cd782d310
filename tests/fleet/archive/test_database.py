"""A query answers, reads no file but the archive's, and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from archives import added, asked, files, payload, vmcore

from vmcoredd.fleet.archive import Archive, BadQuery, ask
from vmcoredd.fleet.archive.schema import TABLES


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with one dump, a secret beside it, and a link from it to the secret."""
    top = tmp_path_factory.mktemp("queried")
    added(top / "fleet", vmcore(top / "vmcore", payload()))
    (top / "secret.csv").write_text("word\nopensesame\n")
    (top / "fleet/dumps/link.csv").symlink_to(top / "secret.csv")
    return top / "fleet"


def test_the_tables_have_the_columns_of_the_schema(fleet: Path) -> None:
    for table, columns in TABLES.items():
        found = asked(fleet, f"describe {table}")
        assert [row[0] for row in found] == [column.name for column in columns]


READERS = (
    "select * from read_text('{}')",
    "select * from read_csv('{}')",
    "select * from read_blob('{}')",
    "select * from '{}'",
    "select * from sniff_csv('{}')",
    "select * from read_json('{}')",
    "select * from glob('{}')",
)


@pytest.mark.parametrize("sql", READERS)
@pytest.mark.parametrize(
    "path", ["secret.csv", "fleet/dumps/../../secret.csv", "fleet/dumps/link.csv", "fleet/lock"]
)
def test_no_other_file_is_read(fleet: Path, sql: str, path: str) -> None:
    with pytest.raises(BadQuery, match=r"Permission Error|Table with name"):
        asked(fleet, sql.format(fleet.parent / path))


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "https://localhost/x.csv"])
def test_nothing_of_the_machine_is_read(fleet: Path, path: str) -> None:
    with pytest.raises(BadQuery, match=r"Permission Error|extension"):
        asked(fleet, f"select * from read_text('{path}')")


@pytest.mark.parametrize(
    "sql",
    [
        "copy dumps to '{0}/out.csv'",
        "copy dumps to '{0}/dumps/out.parquet'",
        "export database '{0}/dumps/out'",
        "attach '{0}/dumps/out.db'",
        "create table t as select 1",
        "drop view dumps",
        "insert into dumps select * from dumps",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "reset lock_configuration",
        "install httpfs",
        "load httpfs",
        "pragma version",
        "explain analyze copy dumps to '{0}/dumps/out.parquet'",
        "select 1; select 2",
        "select 1; copy dumps to '{0}/dumps/out.parquet'",
        "",
    ],
)
def test_anything_but_one_select_is_refused(fleet: Path, sql: str) -> None:
    before = files(fleet)
    with pytest.raises(BadQuery, match="the archive answers one SELECT"):
        asked(fleet, sql.format(fleet))
    assert files(fleet) == before


@pytest.mark.parametrize(
    "sql",
    [
        "select * from query('copy dumps to ''{0}/dumps/out.parquet''')",
        "select * from enable_logging(storage = 'file', storage_path = '{0}/dumps')",
        "select getenv('HOME')",
        "select * from secret",
    ],
)
def test_no_function_does_what_a_statement_may_not(fleet: Path, sql: str) -> None:
    secret = [1]  # which DuckDB would find in Python's frames
    before = files(fleet)
    with pytest.raises(BadQuery):
        asked(fleet, sql.format(fleet))
    assert (files(fleet), secret) == (before, [1])


def test_a_wrong_query_says_what_is_wrong(fleet: Path) -> None:
    with pytest.raises(BadQuery, match='Did you mean "dumps"'):
        asked(fleet, "select * from dumpz")
    with pytest.raises(BadQuery, match="syntax error"):
        asked(fleet, "select from from")
    with pytest.raises(BadQuery, match="Could not convert"):
        asked(fleet, "select cast(serial as integer) from dumps")


def test_columns_of_one_name_are_told_apart(fleet: Path) -> None:
    with Archive(fleet) as archive, ask(archive, "select 1 as a, 2 as a, 3 as b") as answer:
        assert [column.name for column in answer.columns] == ["a", "a_2", "b"]


def test_a_query_waits_for_nothing_outside_of_its_limits(fleet: Path) -> None:
    settings = dict(
        asked(
            fleet,
            "select name, value from duckdb_settings() where name in "
            "('enable_external_access', 'lock_configuration', 'temp_directory', 'threads')",
        )
    )
    assert settings["enable_external_access"] == "false"
    assert settings["lock_configuration"] == "true"
    assert settings["temp_directory"] == ""
    assert int(settings["threads"]) == len(os.sched_getaffinity(0))
