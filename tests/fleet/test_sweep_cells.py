"""Cells: their names, their order, and shards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.fleet.sweep.cells import Cell, all_cells, shard

CELLS = all_cells(["a", "b"], ["none", "6.1"], ["healthy", "x", "y"], range(4))


def test_a_cell_is_named_by_what_it_is() -> None:
    assert Cell("t62100-cr", "6.1", "parity-cim", 7).id == "t62100-cr_6.1_parity-cim_7"
    assert Cell("t520-cr").id == "t520-cr_none_healthy_0"
    assert Cell("t520-cr", "debian:6.12").id == "t520-cr_debian-6.12_healthy_0"


def test_paths_of_one_name_make_other_names() -> None:
    one, other = (Cell(f"/cards/{folder}/t6.toml", f"../{folder}/linux") for folder in "ab")
    assert one.id != other.id
    assert one.id.startswith("t6-")
    assert "_linux-" in one.id


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_any_texts_make_names_of_files_that_differ_as_they_do(one: str, other: str) -> None:
    names = [Cell("card", "none", text).id for text in (one, other)]
    assert all(name.isascii() and "/" not in name and len(name) < 200 for name in names)
    assert not set('":<>|*?\r\n\\') & set("".join(names))  # as artifacts of CI forbid
    assert (names[0] == names[1]) == (one == other)


def test_a_cell_that_is_asked_for_twice_is_there_once() -> None:
    assert len(all_cells(["a", "a"], ["none"], ["x", "x"], [1, 1])) == 1


@pytest.mark.parametrize("of", [1, 2, 5, 48, 100])
def test_all_shards_together_are_all_cells_each_once(of: int) -> None:
    shards = [shard(CELLS, number, of) for number in range(1, of + 1)]
    assert sorted(cell.id for part in shards for cell in part) == sorted(cell.id for cell in CELLS)


def test_each_shard_has_as_many_guests_as_the_next() -> None:
    """A guest takes a hundred times as long as our own driver."""
    counts = [sum(cell.is_guest for cell in shard(CELLS, n, 4)) for n in range(1, 5)]
    assert counts == [6, 6, 6, 6]
