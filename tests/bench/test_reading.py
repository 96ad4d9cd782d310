"""The rows about reading a dump compare what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from carddump import collect, collected, small

from vmcoredd.bench import reading
from vmcoredd.bench.measure import processor_time
from vmcoredd.chip import T6

SIZE = 8 << 20
"""Bytes of a dump: enough for a few entities."""


def test_the_verdict_is_compared_with_decoding_the_same_dump() -> None:
    row = reading._verdict(memoryview(collected(T6).data), 1)
    assert row.ratio is not None
    assert row.figure.median > 0
    assert (row.what, str(row.target)) == ("the verdict", "<= 0.5")


def test_a_report_is_compared_with_decoding_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "dump.bin"
    path.write_bytes(collect(small(T6), entities=("REG_DUMP", "CIM_QCFG"), size=SIZE).data)
    row = reading._report(path, tmp_path, 1)
    assert row.ratio is not None
    assert (row.ratio.low > 0, str(row.target)) == (True, "<= 3")


def test_processor_time_counts_children() -> None:
    spin = "sum(range(3_000_000))"
    took = processor_time(lambda: subprocess.run([sys.executable, "-c", spin], check=True))
    assert took > processor_time(lambda: None)


def test_the_list_is_that_of_all_good_entities() -> None:
    made = collected(T6)
    sizes = (entity.raw_bytes for entity in made.report.good)
    assert reading.list_entities(memoryview(made.data)) == sum(sizes)
