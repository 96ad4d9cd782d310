"""What the archive answers, for people and for programs: a table, CSV, or values for JSON."""

from __future__ import annotations

import csv
import math
import sys
import textwrap
from collections.abc import Mapping
from datetime import date, datetime
from datetime import time as clock
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from vmcoredd.cli.output import err, out, table, visible
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.fleet.archive import Answer

_COLUMN_LEAST = 9
"""Letters of a column: narrower ones are not readable."""


def as_csv(answer: Answer) -> None:
    """Prints CSV, row by row, with a line of names."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(column.name for column in answer.columns)
    clean = visible if sys.stdout.isatty() else str
    for row in answer:
        writer.writerow(clean(_text(value)) for value in row)


def as_json(answer: Answer, most: int) -> dict[str, Any]:
    """Returns the columns with their types in SQL, and the rows as objects."""
    names = [column.name for column in answer.columns]
    rows, more = _first(answer, most)
    return {
        "columns": [column._asdict() for column in answer.columns],
        "rows": [dict(zip(names, map(plain, row), strict=True)) for row in rows],
        "rows_left_out": more,
    }


def as_table(answer: Answer, most: int) -> None:
    """Prints a table if its columns fit the screen, else a block of lines for each row."""
    rows, more = _first(answer, most)
    names = [column.name for column in answer.columns]
    texts = [[_shown(value) for value in row] for row in rows]
    if _fits(names, texts):
        table("", names, texts)
    else:
        width = max(map(len, names))
        for row in texts:
            for name, value in zip(names, row, strict=True):
                _say(f"{name:<{width}}  {value}".rstrip(), width + 2)
            out.print()
    if not rows:
        out.print("no rows")
    if more:
        err.print(f"only the first {counted(most, 'row is', 'rows are')} shown: --rows 0 shows all")


def _say(line: str, indent: int) -> None:
    """Prints a line of a block; a terminal has it folded behind the name, a pipe as it is."""
    lines = [line]
    if out.is_terminal:
        lines = textwrap.wrap(line, out.width, subsequent_indent=" " * indent) or [""]
    for one in lines:
        out.say(one)


def _first(answer: Answer, most: int) -> tuple[list[tuple[Any, ...]], bool]:
    """Returns at most so many rows, and whether there are more."""
    rows = list(islice(answer, most + 1 if most else None))
    more = bool(most) and len(rows) > most
    return rows[:most] if more else rows, more


def _fits(names: list[str], rows: list[list[object]]) -> bool:
    """Returns whether the columns fit side by side, none narrower than can be read."""
    columns = [[name, *map(str, cells)] for name, *cells in zip(names, *rows, strict=True)]
    least = [min(max(map(len, texts)), max(_COLUMN_LEAST, len(texts[0]))) for texts in columns]
    return sum(least) + 2 * len(least) <= out.width


def _shown(value: object) -> object:
    """Returns a cell of the table: numbers stay numbers, which are aligned right."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else _text(value)


def _text(value: object) -> str:
    """Returns a value in words: a struct or a map as `name=value`."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return str(value)


def plain(value: object) -> object:
    """Returns a value as JSON has it: times in ISO 8601, bytes in hex, no number as null."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.hex() if isinstance(value, bytes) else str(value)
