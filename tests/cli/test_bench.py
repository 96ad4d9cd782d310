"""`vmcoredd bench`: how it reports one part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cliruns import Result, Run

import pyvfio_user
from vmcoredd.bench import Part, access, suite
from vmcoredd.bench.measure import Results, Row, Series, Target
from vmcoredd.cli.commands import bench
from vmcoredd.cli.exit_codes import Exit

GROUP = "one access"


@pytest.fixture
def measured(vmcoredd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A short run of a part: few accesses, once."""
    if pyvfio_user.library_version() is None:
        pytest.skip("built without libvfio-user")
    pytest.importorskip("matplotlib", reason="the optional group `bench` is not installed")
    monkeypatch.setattr(suite, "ACCESS_ROUNDS", 1)
    monkeypatch.setattr(suite, "QUICK_ROUNDS", 1)
    monkeypatch.setattr(access, "SINGLE", 100)
    monkeypatch.setattr(access, "MANY", 1_000)
    monkeypatch.setattr(access, "DEPTHS", (1, 64))
    return vmcoredd("bench", "--part", "access", "--json", "-o", tmp_path / "found")


@pytest.mark.interop
def test_a_part_is_measured_alone_and_written_as_plots_tables_and_values(
    measured: Result, tmp_path: Path
) -> None:
    record, found = measured.json, tmp_path / "found"
    assert measured.code == Exit.OK
    assert {row["group"] for row in record["rows"]} == {GROUP}
    assert all(row["ratio"]["median"] > 0 for row in record["rows"])
    assert record["skipped"].keys() == {*Part} - {Part.ACCESS}
    assert json.loads((found / "bench.json").read_text()) == record
    assert {path.name for path in found.iterdir()} == {"bench.json", "bench.md", "depth.svg"}
    lines = (found / "bench.md").read_text().splitlines()
    assert f"## {GROUP.capitalize()}" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == len(record["rows"]) + 2
    assert {line.count("|") for line in tables} == {9}


@pytest.mark.parametrize(("limit", "said"), [(2.0, ""), (0.5, "not met: a report: 1.25, wanted")])
def test_what_misses_its_target_is_said_below_the_tables(
    limit: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = Series((1.25,))
    row = Row(GROUP, "a report", figure, "s", figure, "decoding", Target(limit, at_least=False))
    bench._show(Results([row]), {"cpus": 2})
    below = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not met")]
    assert below == ([f"{said} <= {limit:g}"] if said else [])


@pytest.mark.parametrize("width", [80, 160])
def test_tables_fit_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = Series((1.0, 1234.5, 9876.5))
    row = Row(GROUP, "read, many, two cpus: beside plain", figure, "us", figure, "a plain C server")
    monkeypatch.setattr(bench.out, "width", width)
    bench._show(Results([replace(row, target=Target(1.05), note="spin 50 us")]), {"cpus": 2})
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= width
    assert "read, many, two cpus: beside plain " in said
    assert ("a plain C server" in said, "--json, -o, or a terminal" in said) == (
        (width == 160),
        (width == 80),
    )


def test_an_unknown_part_is_refused(vmcoredd: Run) -> None:
    result = vmcoredd("bench", "--part", "everything")
    assert result.code == Exit.USAGE
    assert "--part: no part is called everything; there are dump, " in result.err
