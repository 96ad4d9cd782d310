"""How the command speaks: tables with units for people, JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PLAIN_COLUMNS = 160
"""Of tables that go into a file or a pipe."""


class _Results(Console):
    """Leaves it to `cli.exit_codes` to end the command when its reader has seen enough."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


out = _Results(
    highlight=False,
    emoji=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else PLAIN_COLUMNS,
)
"""Results. Plain text when it is not a terminal."""
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
"""Progress, warnings and errors."""


def emit_json(value: Any) -> None:
    """One JSON document on stdout; bytes are shown as hex."""
    json.dump(value, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; a column whose cells are all numbers is set flush right."""
    grid = Table(box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    grid.title = cell(title) if title else None
    for i, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    out.print(grid)


def cell(value: object) -> str:
    """A table's cell as text, with its brackets shown and not taken for markup."""
    if isinstance(value, float):
        return f"{value:,.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(visible(str(value)))


def visible(text: str) -> str:
    """Text out of a file, which may show anything but must not control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def size(count: int) -> str:
    """A number of bytes for people, in binary units: `32.0 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
