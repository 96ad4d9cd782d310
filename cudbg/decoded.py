"""The result of a decoder: parts that a command can render, or write as JSON.

    Decoded([Fields("CIM LA", [Item("configuration", 0x10001)]), Table("entries", [...], rows)])

Numbers stay numbers; a column's `form` gives their width and base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeAlias, TypeVar

from vmcoredd.cudbg.errors import unexpected_is_damage

T = TypeVar("T")

Value: TypeAlias = int | str | bool | float | Mapping[str, int] | None
"""The value of a cell or an item; a mapping holds a register's fields."""


def shown(value: Value, form: str) -> str:
    """Formats a value: `x8` gives 8 hexadecimal digits; other forms leave it unchanged."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        is_hex = form.startswith("x") and not isinstance(value, bool)
        return f"0x{value:0{form[1:] or 1}x}" if is_hex else str(value)
    if isinstance(value, Mapping):
        return " ".join([f"{name}={number:#x}" for name, number in value.items()])
    return "" if value is None else str(value)


def all_shown(values: Sequence[Value], form: str) -> list[str]:
    """Formats each value of a column as `shown` does, columns of one type faster."""
    kinds = set(map(type, values))
    if kinds == {int} and form.startswith("x"):
        return list(map(f"0x{{:0{form[1:] or 1}x}}".format, values))
    if kinds == {int} or kinds == {str}:
        return list(map(str, values))
    return [shown(value, form) for value in values]


class Bytes(Protocol):
    """Bytes that may be outside of memory: a memoryview, or an entity of a compressed dump."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, part: slice) -> bytes | memoryview:
        """Returns a slice of them."""


class Allowance:
    """How many rows of tables and lines of text may still be shown; None is no limit.

    It bounds time and memory: a small file can have many millions of them.
    """

    def __init__(self, rows: int | None = None) -> None:
        self._left = rows
        self.exceeded = False
        """Whether something was left out."""

    def of(self, rows: Iterable[T]) -> list[T]:
        """Returns the first of `rows`: as many as are still allowed."""
        if self._left is None:
            return list(rows)
        shown = list(islice(rows, self._left + 1))
        if len(shown) > self._left:
            self.exceeded = True
            shown.pop()
        self._left -= len(shown)
        return shown


ALL = Allowance()


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, and the form of its cells: `x8` hex of 8 digits, `d` decimal, empty text.

    Numbers are aligned right, text left."""

    name: str
    form: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of equal length. `rows` can be iterated repeatedly, and may be lazy."""

    title: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Value]]

    def json(self, allowed: Allowance = ALL) -> dict[str, Any]:
        """Returns plain lists and dicts."""
        names = [column.name for column in self.columns]
        rows = [dict(zip(names, row, strict=True)) for row in allowed.of(self.rows)]
        return {"table": self.title, "rows": rows}


@dataclass(frozen=True, slots=True)
class Item:
    """A named value; `meaning` explains it, or is its unit."""

    name: str
    value: Value
    meaning: str = ""
    form: str = ""


@dataclass(frozen=True)
class Fields:
    """Named values."""

    title: str
    items: Sequence[Item]

    def json(self, _: Allowance = ALL) -> dict[str, Any]:
        """Returns plain lists and dicts."""
        values = [_item_json(item) for item in self.items]
        return {"fields": self.title, "values": values}


@dataclass(frozen=True)
class Text:
    """Lines of text."""

    title: str
    lines: Iterable[str]

    def json(self, allowed: Allowance = ALL) -> dict[str, Any]:
        """Returns plain lists and dicts."""
        return {"text": self.title, "lines": allowed.of(self.lines)}


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of a memory, from byte `start` to `end` (exclusive)."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Hexdump:
    """Bytes of a memory with its regions; shown as bytes on request only."""

    title: str
    regions: Sequence[Section]
    data: Bytes = field(repr=False)

    def json(self, _: Allowance = ALL) -> dict[str, Any]:
        """Returns plain lists and dicts, without the bytes."""
        regions = [{"name": r.name, "start": r.start, "end": r.end} for r in self.regions]
        return {"memory": self.title, "size_bytes": len(self.data), "regions": regions}


Part: TypeAlias = Table | Fields | Text | Hexdump


@dataclass(frozen=True)
class Decoded:
    """The parts of a decoded entity."""

    parts: Sequence[Part]
    incomplete: str = ""
    """How much of the entity was decoded, if not all; the first part says so too."""

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def json(self, allowed: Allowance = ALL) -> list[dict[str, Any]]:
        """Returns plain lists and dicts, with as many rows as are allowed (all by default)."""
        return [part.json(allowed) for part in self.parts]


def _item_json(item: Item) -> dict[str, Value]:
    shown: dict[str, Value] = {"name": item.name, "value": item.value}
    return shown | ({"meaning": item.meaning} if item.meaning else {})


class Lazy(Iterable[Any]):
    """An iterable that starts over each time it is iterated: `Lazy(lambda: rows_of(blob))`.

    What the walk does not expect in its data is a DumpFormatError, as in `Dump.decode`.
    """

    def __init__(self, walk: Any) -> None:
        self._walk = walk

    def __iter__(self) -> Iterator[Any]:
        with unexpected_is_damage("a row"):
            yield from self._walk()
