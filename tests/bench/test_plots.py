"""Plots, and the message without matplotlib."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vmcoredd import debs
from vmcoredd.bench import plots
from vmcoredd.bench.measure import Results, Series

CURVE = {"one cpu": {"a": Series((1.0, 2.0)), "b": Series((3.0, 4.0))}}
DEPTHS = {"one cpu": {1: Series((1.0, 2.0)), 2: Series((3.0, 4.0))}}


def test_every_curve_becomes_a_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the optional group `bench` is not installed")
    lines, bars = ("depth", "frames", "queues"), ("windows", "entities", "dump", "traffic")
    curves = dict.fromkeys(lines, DEPTHS) | dict.fromkeys(bars, CURVE)
    files = plots.draw(Results(curves=curves), tmp_path / "plots")
    assert [path.stem for path in files] == list(curves)
    assert all(path.read_text().rstrip().endswith("</svg>") for path in files)


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(debs.ModuleMissing, match="-m pip install matplotlib"):
        plots.draw(Results(), tmp_path / "plots")
    assert not (tmp_path / "plots").exists()
