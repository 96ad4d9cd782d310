"""Folds the rows of a table at the terminal's width: nothing is cut."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

LEAD = "  "
"""Before each cell of a row."""
_HANGING = 6
_ROOM_LEAST = 24
"""A cell that does not fit is begun only where so many columns are left."""


def line(cells: Sequence[str], lead: str = LEAD) -> str:
    """Returns the padded cells of a row as one line, behind `lead`."""
    return (lead + LEAD.join(cells)).rstrip()


def folded(cells: Sequence[str], width: int, lead: str = LEAD) -> Iterator[str]:
    """Yields the row in lines of at most `width` columns; those after the first are indented."""
    whole = line(cells, lead)
    if len(whole) <= width:
        yield whole
        return
    current = ""
    for cell in cells:
        text, start = cell.rstrip(), len(current) + len(LEAD if current else lead)
        if start + len(text) > width and width - start < _ROOM_LEAST and current.strip():
            yield current.rstrip()
            current, start = " " * (_HANGING - len(LEAD)), _HANGING
        if start + len(text) <= width:
            current = current.ljust(start) + cell
            continue
        before, (*lines, last) = current.ljust(start), _wrapped(text, width - start)
        for one in lines:
            yield before + one
            before = " " * start
        current = before + last
    yield current.rstrip()


def _wrapped(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, max(room, 1), break_on_hyphens=False) or [""]
