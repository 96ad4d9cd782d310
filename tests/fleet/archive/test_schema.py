"""The schema that is documented is that of the code."""

from __future__ import annotations

from tests.support.archive_tables import PAGE, written
from vmcoredd.fleet.archive.schema import ABOUT, KEYS, LAST, SORTED_BY, TABLES


def test_the_page_has_the_tables_of_the_code() -> None:
    assert PAGE.read_text() == written()


def test_every_table_is_described_sorted_and_begins_with_the_same_columns() -> None:
    assert TABLES.keys() == ABOUT.keys() == SORTED_BY.keys()
    assert {columns[: len(KEYS)] for columns in TABLES.values()} == {KEYS}
    assert [*TABLES][-1] == LAST
