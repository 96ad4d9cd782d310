"""The kernel's order of equal elements."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.cudbg.meminfo import heapsort


def by_key(a: tuple[int, int], b: tuple[int, int]) -> int:
    return a[0] - b[0]


@given(st.lists(st.integers(0, 5)))
def test_heapsort_sorts(keys: list[int]) -> None:
    assert heapsort(keys, lambda a, b: a - b) == sorted(keys)


def test_heapsort_leaves_equal_elements_in_the_kernels_order() -> None:
    # as lib/sort.c (6.1) leaves six elements of which four are equal
    items = [(0, 0), (0, 1), (1, 2), (0, 3), (0, 4), (2, 5)]
    assert heapsort(items, by_key) == [(0, 1), (0, 0), (0, 3), (0, 4), (1, 2), (2, 5)]


def test_heapsort_takes_an_empty_list() -> None:
    assert heapsort([], by_key) == []
