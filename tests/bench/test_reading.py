"""The rows about reading a dump compare what they say."""

from __future__ import annotations

from carddump import collected

from vmcoredd.bench import reading
from vmcoredd.chip import T6


def test_the_verdict_is_compared_with_decoding_the_same_dump() -> None:
    row = reading._verdict(memoryview(collected(T6).data), 1)
    assert row.ratio is not None
    assert row.figure.median > 0
    assert (row.what, str(row.target)) == ("the verdict", "<= 0.5")


def test_the_list_is_that_of_all_good_entities() -> None:
    made = collected(T6)
    sizes = (entity.raw_bytes for entity in made.report.good)
    assert reading.list_entities(memoryview(made.data)) == sum(sizes)
