"""Folds the rows of a table at the terminal's width: nothing is cut, and columns stay columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

LEAD = "  "
"""Before each cell of a row."""
_HANGING = 6
_ROOM_LEAST = 24
"""A last column that does not fit is begun only where so many columns are left."""

Place = tuple[int, int]
"""Of a column: the line of the row, and where in it the column starts."""


def line(cells: Sequence[str]) -> str:
    """Returns the padded cells of a row as one line."""
    return (LEAD + LEAD.join(cells)).rstrip()


def places(widths: Sequence[int], width: int) -> list[Place]:
    """Returns the places of columns of these widths on a terminal.

    All rows of a table have the same, so that each value stands under its column's name.
    """
    found: list[Place] = []
    row, at = 0, len(LEAD)
    for number, one in enumerate(widths):
        is_last = number == len(widths) - 1
        may_wrap = is_last or one > width - _HANGING
        if found and at + _taken(one, width - at, may_wrap) > width:
            row, at = row + 1, _HANGING
        found.append((row, at))
        at += _taken(one, width - at, may_wrap) + len(LEAD)
    return found


def _taken(column: int, left: int, may_wrap: bool) -> int:
    """Returns how many columns of a line a column takes where so many are left."""
    return min(column, max(left, _ROOM_LEAST)) if may_wrap else column


def folded(cells: Sequence[str], width: int, at: Sequence[Place] = ()) -> Iterator[str]:
    """Yields the row in lines of at most `width` columns, its cells `at` their `places`.

    Without places, those of a table that has this row only.
    """
    current, row = "", 0
    at = at or places([*map(len, cells)], width)
    for cell, (its_row, start) in zip(cells, at, strict=True):
        text = cell.rstrip()
        if not text:
            continue
        if its_row != row and current:
            yield current
            current = ""
        row = its_row
        *lines, last = _wrapped(text, width - start)
        for one in lines:
            yield current.ljust(start) + one
            current = ""
        current = current.ljust(start) + last
    yield current


def folded_text(text: str, width: int) -> Iterator[str]:
    """Yields a text in lines of at most `width` columns; those after the first are indented."""
    if len(text) <= width:
        yield text
        return
    yield from textwrap.wrap(text, width, subsequent_indent=LEAD, break_on_hyphens=False)


def _wrapped(text: str, room: int) -> list[str]:
    if len(text) <= room:
        return [text]
    return textwrap.wrap(text, max(room, 1), break_on_hyphens=False) or [""]
