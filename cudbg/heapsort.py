"""The order in which the kernel's sort() leaves equal elements: a bottom-up heapsort.

It is not stable, and memory regions often begin at the same address; so the dump shows which
algorithm was used. Source: lib/sort.c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def heapsort(items: Sequence[T], compare: Callable[[T, T], int]) -> list[T]:
    """`items` in ascending order; `compare(a, b)` is negative, 0 or positive."""
    heap = list(items)
    for root in range(len(heap) // 2 - 1, -1, -1):
        _sift(heap, root, len(heap), compare)
    for end in range(len(heap) - 1, 0, -1):
        heap[0], heap[end] = heap[end], heap[0]
        _sift(heap, 0, end, compare)
    return heap


def _sift(heap: list[T], root: int, end: int, compare: Callable[[T, T], int]) -> None:
    """Moves heap[root] to its place: down to a leaf along the larger children, then back up."""
    path = [root]
    while (child := 2 * path[-1] + 1) < end:
        sibling = child + 1
        if sibling < end and compare(heap[child], heap[sibling]) < 0:
            child = sibling
        path.append(child)
    while len(path) > 1 and compare(heap[root], heap[path[-1]]) >= 0:
        path.pop()
    moved = heap[root]
    for above, below in pairwise(path):
        heap[above] = heap[below]
    heap[path[-1]] = moved
