"""What is left of an entity that is cut, damaged, or shorter than its layout, decoded in part.

A decoder takes whole entities. `decode_in_part` runs it several times, each time with another
filling for the bytes that are missing. What comes out the same each time does not depend on them:
it is kept. What differs is not in the dump: such a cell is left empty, such a row is left out.
So a decoder must not show all codes that it does not know as the same word: it shows the code too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import islice, takewhile
from operator import and_
from typing import Any, TypeVar

from vmcoredd.cudbg.decoded import (
    Bytes,
    Decoded,
    Fields,
    Hexdump,
    Item,
    Part,
    Table,
    Text,
    Value,
)
from vmcoredd.cudbg.errors import DumpFormatError, WrongSize, unexpected_is_damage
from vmcoredd.plural import counted, exact

FILLED_MOST, _ROWS_MOST = 4 << 20, 50_000
"""Bytes of an entity that is decoded in part, and rows of a table: several times what one has."""
_SIZES_MOST = 4
"""How often a decoder may say that it needs another size: once for a header, once for the rest."""
_NOISE = (random.Random(seed).randbytes(509) for seed in range(2))
_FILLINGS = (b"\0", b"\xff", b"\1\0\0\0", *_NOISE)
"""What missing bytes are filled with, repeated: nothing, everything, small numbers, noise."""
_AGREEING_LEAST = 2

Decode = Callable[[Bytes], Decoded]
T = TypeVar("T")


@dataclass(frozen=True)
class Remains:
    """The bytes that are left of an entity: parts in ascending order, at their offsets."""

    name: str
    parts: Sequence[tuple[int, Bytes]]
    size: int
    """How many bytes there were, as far as is known."""
    is_open: bool = False
    """Whether there may have been more: where it was cut, its size is not known."""

    @property
    def held(self) -> int:
        """How many bytes are left."""
        return sum(len(data) for _, data in self.parts)

    @property
    def start(self) -> bytes | memoryview:
        """The bytes before the first gap."""
        at, data = self.parts[0] if self.parts else (0, b"")
        return b"" if at else data[0 : len(data)]

    def holds(self, offset: int) -> bool:
        """Returns whether this byte is left."""
        return any(at <= offset < at + len(data) for at, data in self.parts)

    def resized(self, size: int) -> Remains:
        """Returns the same bytes of an entity of this size, or the first `size` of them."""
        if size >= self.size:
            return replace(self, size=size, is_open=False)
        parts = [(at, data[0 : size - at]) for at, data in self.parts if at < size]
        return Remains(self.name, parts, size)

    def filled(self, filling: bytes = b"\0") -> bytes:
        """Returns all bytes, with `filling` over and over where they are missing."""
        made = bytearray((filling * (self.size // len(filling) + 1))[: self.size])
        for at, data in self.parts:
            made[at : at + len(data)] = data[0 : len(data)]
        return bytes(made)


def decode_in_part(decode: Decode, remains: Remains) -> Decoded:
    """Returns what `decode` says of an entity as far as it does not depend on missing bytes.

    The first part says how many are missing. Raises DumpFormatError if nothing can be said.
    """
    had = remains.size
    for _ in range(_SIZES_MOST):
        if not remains.held:
            raise DumpFormatError(f"{remains.name}: none of its bytes is left")
        if remains.size > FILLED_MOST:
            size = exact(remains.size, "byte is", "bytes are")
            raise DumpFormatError(f"{remains.name}: {size} too many to fill in")
        try:
            parts = _agreed(decode, remains)
        except WrongSize as error:
            if error.need is None or error.need == remains.size:
                raise
            remains = remains.resized(error.need)
        else:
            return in_part(remains, parts, had)
    raise DumpFormatError(f"{remains.name}: {exact(had, 'byte')}, which fit none of its layouts")


def decode_start(decode: Decode, remains: Remains) -> Decoded:
    """Returns what `decode` says of the bytes before the first that is missing.

    This is for entities that are too large to be filled in. Raises DumpFormatError as `decode`
    does, and if the first byte is missing.
    """
    start = remains.start
    if not len(start):
        raise DumpFormatError(f"{remains.name}: its first bytes are missing")
    return in_part(Remains(remains.name, [(0, start)], remains.size), decode(start))


def in_part(remains: Remains, parts: Iterable[Part], had: int = 0) -> Decoded:
    """Returns parts that were decoded of `remains`, after one which says that they are not all.

    `had` is how many bytes the dump has of the entity, if they are more than its layout.
    """
    if had > remains.size and remains.held == remains.size:
        more = f"{counted(had - remains.size, 'byte')} more than this version knows: not decoded"
        return Decoded([Text("longer than known", [more]), *parts], more)
    size = "an unknown number" if remains.is_open else counted(remains.size, "byte")
    less = f"{remains.held:,} of {size}: what depends on the others is left out"
    return Decoded([Text("in part", [less]), *parts], less)


def _agreed(decode: Decode, remains: Remains) -> list[Part]:
    """Returns the parts on which all fillings agree, without what they say of no bytes at all."""
    if remains.held == remains.size:
        return list(decode(remains.filled()).parts)
    made = _decoded(decode, remains)
    empty = _of_nothing(decode, remains)
    left = (_informative(_common(same), empty) for same in _matched(made))
    return [part for part in left if part is not None]


def _of_nothing(decode: Decode, remains: Remains) -> list[Part]:
    """Returns what is said of no bytes at all, or of as few of the first as make a header."""
    for size in (0, 8, 16, 32, 64):
        few = [(0, remains.start[:size])] if size else []
        with suppress(DumpFormatError):
            made = _decoded(decode, Remains(remains.name, few, remains.size))
            return [_common(same) for same in _matched(made)]
    return []


def _decoded(decode: Decode, remains: Remains) -> list[list[Part]]:
    """Returns the parts for each filling with which decoding succeeds, tables as lists; raises what
    the first raised if they are too few to agree."""
    made: list[list[Part]] = []
    failed: list[DumpFormatError] = []
    for filling in _FILLINGS:
        try:
            with unexpected_is_damage(remains.name):
                made.append([_read(part) for part in decode(remains.filled(filling)).parts])
        except DumpFormatError as error:
            failed.append(error)
    if len(made) < _AGREEING_LEAST:
        raise failed[0]
    return made


def _read(part: Part) -> Part:
    """Returns a part whose first rows or lines are in memory."""
    if isinstance(part, Table):
        return replace(part, rows=[list(row) for row in islice(part.rows, _ROWS_MOST)])
    if isinstance(part, Text):
        return replace(part, lines=list(islice(part.lines, _ROWS_MOST)))
    return part


def _matched(made: Sequence[Sequence[Part]]) -> Iterable[tuple[Part, ...]]:
    """Yields the parts that correspond: by position, else, if their number differs, by title."""
    if len({tuple(map(type, parts)) for parts in made}) == 1:
        yield from zip(*made, strict=True)
        return
    for part in made[0]:
        same = [[p for p in parts if _key(p) == _key(part)][:1] for parts in made]
        if all(same):
            yield tuple(found[0] for found in same)


def _key(part: Part) -> tuple[type[Part], str]:
    return type(part), part.title


def _common(same: Sequence[Any]) -> Part:
    """Returns what corresponding parts have in common."""
    first, title = same[0], _common_title([part.title for part in same])
    if isinstance(first, Table):
        return Table(title, first.columns, _common_rows([part.rows for part in same]))
    if isinstance(first, Text):
        return Text(title, _in_all([part.lines for part in same]))
    if isinstance(first, Fields):
        return Fields(title, _common_items([part.items for part in same]))
    return Hexdump(title, [], first.data)


def _common_title(titles: Sequence[str]) -> str:
    if len(set(titles)) == 1:
        return titles[0]
    common = takewhile(_same, zip(*(title.split() for title in titles), strict=False))
    return " ".join(words[0] for words in common).rstrip(" :;,(")


def _common_rows(tables: Sequence[Sequence[Sequence[Value]]]) -> list[Sequence[Value]]:
    """Returns the rows that all tables have; with empty cells, if row by row the first cells are
    the same in all."""
    if len({tuple(repr(row[0]) for row in rows) for rows in tables}) > 1:
        return _in_all(tables)
    return [
        [cells[0] if _same(cells) else None for cells in zip(*rows, strict=True)]
        for rows in zip(*tables, strict=True)
    ]


def _common_items(fields: Sequence[Sequence[Item]]) -> list[Item]:
    if len({tuple(item.name for item in items) for items in fields}) > 1:
        return _in_all(fields)
    return [
        same[0] if _same(same) else Item(same[0].name, None, "not in the dump")
        for same in zip(*fields, strict=True)
    ]


def _same(values: Sequence[object]) -> bool:
    return all(value == values[0] for value in values)


def _in_all(groups: Sequence[Sequence[T]]) -> list[T]:
    """Returns what every group has, in the first one's order."""
    least = reduce(and_, (Counter(map(repr, group)) for group in groups))
    kept = []
    for one in groups[0]:
        if least[repr(one)]:
            least[repr(one)] -= 1
            kept.append(one)
    return kept


def _informative(part: Part, empty: Sequence[Part]) -> Part | None:
    """Returns a part without the rows that are shown of no bytes too; None if nothing is left."""
    if isinstance(part, Text | Hexdump):
        return part
    said = {repr(one) for other in empty if _key(other) == _key(part) for one in _contents(other)}
    left = [one for one in _contents(part) if repr(one) not in said]
    if not left:
        return None if _contents(part) else part
    return replace(part, rows=left) if isinstance(part, Table) else part


def _contents(part: Any) -> Sequence[Any]:
    return list(part.rows if isinstance(part, Table) else part.items)
