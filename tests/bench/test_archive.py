"""The benchmark of the archive, with sixty dumps: it measures what it says."""

from __future__ import annotations

from pathlib import Path

from vmcoredd.bench import archive


def test_sixty_dumps_are_added_compared_and_queried(tmp_path: Path) -> None:
    rows = {row.what: row for row in archive.measure_in(tmp_path, 60, large=120)}
    (adding,) = (row for what, row in rows.items() if what.startswith("adding 60 dumps"))
    assert adding.ratio is not None
    assert adding.figure.median > 0
    outliers = rows["cards that are outliers"]
    assert (outliers.figure.median, outliers.verdict) == (len(archive.FAULTS), "met")
    (peak,) = (row for what, row in rows.items() if what.startswith("peak"))
    assert peak.verdict == "met"
    assert len([what for what in rows if what.startswith("query of 120 dumps")]) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("vmcore")] == []
