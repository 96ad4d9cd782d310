"""Archives, read by arrow-rs: it shares no code with DuckDB, which wrote them.

arro3 is arrow-rs for Python, in a tenth of the size of pyarrow or polars.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import arro3.io
import pytest
from archives import asked
from cliruns import spawned
from faulty import faulty

from vmcoredd.fleet.archive.schema import TABLES

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmcore of a card with faults."""
    path = tmp_path_factory.mktemp("crash") / "vmcore"
    return faulty(path, "ecc-uncorrectable-edc0", "firmware-crash")


@pytest.fixture(scope="module", params=["loose", "packed"])
def fleet(request: pytest.FixtureRequest, crash: Path) -> Path:
    """An archive of it, as `add` leaves it, and as `compact` does."""
    folder = crash.with_name(request.param)
    assert spawned("archive", "add", crash, "--into", folder, "-j", 1).returncode == 0
    if request.param == "packed":
        assert spawned("archive", "compact", "--in", folder).returncode == 0
    return folder


def rows(fleet: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table, as arrow-rs reads them."""
    found: list[dict[str, Any]] = []
    for path in sorted((fleet / table).glob("*.parquet")):
        read = arro3.io.read_parquet(path).read_all()
        names = read.column_names
        columns = [[one.as_py() for one in read[name]] for name in names]
        found += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return found


def said(crash: Path, *words: str) -> Any:
    """What a command says of the vmcore."""
    return json.loads(spawned(*words, crash, "--json").stdout)


def test_the_findings_are_those_of_diagnose(crash: Path, fleet: Path) -> None:
    findings = said(crash, "diagnose")["findings"]
    assert len(findings) >= 2
    read = sorted(rows(fleet, "findings"), key=lambda row: row["position"])
    names = [name for name in findings[0] if name not in ("dump", "value", "evidence")]
    assert [{n: row[n] for n in names} for row in read] == [
        {n: found[n] for n in names} for found in findings
    ]
    assert [row["value"] for row in read] == [str(found["value"]) for found in findings]
    assert [[one["word"] for one in row["evidence"]] for row in read] == [
        [one["word"] for one in found["evidence"]] for found in findings
    ]


def test_the_registers_and_their_fields_are_those_of_show(crash: Path, fleet: Path) -> None:
    """Which joins the halves of counters."""
    shown = said(crash, "show", "--register", "*", "--all")["registers"]
    read = rows(fleet, "registers")
    key = ("entity", "space", "offset")
    values = {tuple(row[name] for name in key): row for row in read}
    words = [word for word in shown if word["bits"] == 32]
    assert len(words) > 10_000
    assert len(read) == len(values) == len(words) + 2 * (len(shown) - len(words))
    for word in words:
        row = values[tuple(word[name] for name in key)]
        assert (row["value"], row["register"]) == (word["value"], word["register"].split("[")[0])
        nonzero = {name: value for name, value in word["fields"].items() if value}
        assert dict(row["fields"]) == nonzero


def test_the_entities_and_the_log_are_those_of_show(crash: Path, fleet: Path) -> None:
    shown = said(crash, "show")["entities"]
    read = {row["name"]: row for row in rows(fleet, "entities")}
    same = ("number", "code", "condition", "status", "size_bytes", "raw_size_bytes", "damage")
    assert {name: [row[key] for key in same] for name, row in read.items()} == {
        entity["name"]: [entity[key] for key in same] for entity in shown
    }
    (entity,) = said(crash, "show", "--entity", "DEV_LOG")["entities"]
    records = entity["decoded"][0]["rows"]
    read_log = sorted(rows(fleet, "log"), key=lambda row: row["seqno"])
    assert [row["message"] for row in read_log] == [record["message"] for record in records]


def test_it_reads_as_many_rows_as_duckdb(fleet: Path) -> None:
    for table in TABLES:
        assert asked(fleet, f"select count(*) from {table}") == [(len(rows(fleet, table)),)]
