"""Compares two dumps entity by entity, as bytes and decoded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.momentary import HOSTS_BITS
from vmcoredd.cudbg.decoded import (
    Bytes,
    Column,
    Decoded,
    Fields,
    Hexdump,
    Table,
    Text,
    Value,
    shown,
)
from vmcoredd.cudbg.driver_state import EXPLAINED_BY, DriverState, driver_state
from vmcoredd.cudbg.dump import Dump, DumpEntity, NoSuchEntity
from vmcoredd.cudbg.entity import Entity, entities
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat
from vmcoredd.cudbg.words import RegisterEntity
from vmcoredd.plural import counted

_PIECE = 1 << 16


class Row(NamedTuple):
    """Values as they are shown, by their names."""

    label: str
    cells: dict[str, str]
    name: str = ""
    """Its label without its number; empty if it has no names."""


_NO_ROW = Row("", {})


@dataclass(frozen=True)
class Difference:
    """How one entity differs between dump a and dump b."""

    name: str
    what: str
    """A short description, with a byte offset if the data differ."""
    differing_bytes: int = 0
    compared: bool = True
    """False if the contents are damaged, or if it is not known how to compare them."""
    damaged: bool = False
    of_host: bool = False
    """Whether it is not compared since the host had it, and not the card."""


def compare(a: Dump, b: Dump, *, card_only: bool = False) -> Iterator[Difference | str]:
    """Yields, for each entity of either dump, its name if both are equal, else the difference.

    With `card_only`, what stood in the host and not in the card is not compared: that is what
    `Entity.of_host` names.
    """
    others = {entity.name: entity for entity in b.entities}
    for entity in a.entities:
        found = _compare(a, b, entity, others.pop(entity.name, None))
        yield (_but_for_the_host(a, b, found) if found and card_only else found) or entity.name
    for name in others:
        found = Difference(name, "only in b")
        yield _but_for_the_host(a, b, found) if card_only else found


def _but_for_the_host(a: Dump, b: Dump, found: Difference) -> Difference:
    """Returns a difference without what the host had."""
    known = entities().get(found.name)
    if known is None or known.of_host == () or found.damaged:
        return found
    if known.of_host is None:
        return Difference(found.name, f"not compared: {_OF_HOST}", compared=False, of_host=True)
    with suppress(DumpFormatError, NoSuchEntity):
        left, right = (_without(known, dump.raw(found.name), dump.chip) for dump in (a, b))
        if left == right:
            what = f"not compared in part: {', '.join(known.of_host)}: {_OF_HOST}"
            return Difference(found.name, what, compared=False, of_host=True)
    return found


_OF_HOST = "of the host, and not of the card"


def _without(known: Entity, blob: bytes | memoryview, chip: Chip) -> bytes:
    """Returns the bytes of an entity with zeros for what the host had or set."""
    kept = bytearray(blob)
    if isinstance(known, RegisterEntity):
        words = memoryview(kept)[: len(kept) // WORD_BYTES * WORD_BYTES].cast("I")
        for name in known.of_host or ():
            for _, place in known.places_of(chip.r[name], chip):
                words[place.position // WORD_BYTES] &= ~HOSTS_BITS[name]
        return bytes(kept)
    (layout,) = known.layouts
    for name in known.of_host or ():
        member = getattr(layout, name)
        kept[member.offset : member.offset + member.size] = bytes(member.size)
    return bytes(kept)


def differing_drivers(a: Dump, b: Dump) -> bool:
    """Returns whether the driver of one dump had attached to the firmware, and that of the other
    had not: then they knew different things, whatever the card."""
    states = [_driver_of(dump).had_attached for dump in (a, b)]
    return None not in states and states[0] != states[1]


def _driver_of(dump: Dump) -> DriverState:
    others = {}
    for name in EXPLAINED_BY:
        with suppress(DumpFormatError, NoSuchEntity):
            others[name] = dump.raw(name)
    return driver_state(others)


def _compare(a: Dump, b: Dump, one: DumpEntity, other: DumpEntity | None) -> Difference | None:
    if other is None:
        return Difference(one.name, "only in a")
    if (one.code, one.sys_err, one.sys_warn) != (other.code, other.sys_err, other.sys_warn):
        return Difference(one.name, f"{one.status} in a, {other.status} in b")
    if not one.good:
        return None
    try:
        return compare_bytes(one.name, *_contents(a, b, one.name))
    except UnknownFormat as error:
        return Difference(one.name, f"not compared: {error}", compared=False)
    except DumpFormatError as error:
        where = "a" if _is_damaged(a, one.name) else "b"
        what = f"damaged in {where}: {str(error).removeprefix(f'{one.name}: ')}"
        return Difference(one.name, what, compared=False, damaged=True)


def _is_damaged(dump: Dump, name: str) -> bool:
    """Returns whether an entity's bytes cannot be read, though their format is known."""
    try:
        blob = dump.blob(name)
        for at in range(0, len(blob), _PIECE):
            blob[at : at + _PIECE]
    except UnknownFormat:
        return False
    except DumpFormatError:
        return True
    return False


def _contents(a: Dump, b: Dump, name: str) -> tuple[Bytes, Bytes]:
    """Returns what to compare of an entity: its raw bytes, or packed ones of equal compression."""
    known = entities().get(name)
    if a.byte_order != b.byte_order and (known is None or known.host_order):
        raise UnknownFormat(f"{a.byte_order}-endian in a, {b.byte_order}-endian in b")
    try:
        return a.blob(name), b.blob(name)
    except UnknownFormat:
        if a.compression != b.compression:
            raise
        return a.packed(name), b.packed(name)


def compare_bytes(name: str, one: Bytes, other: Bytes) -> Difference | None:
    """Returns how the bytes called `name` differ, or None."""
    if len(one) != len(other):
        return Difference(name, f"{counted(len(one), 'byte')} in a, {len(other):,} in b")
    count, first = 0, -1
    for at, left, right in _different(one, other, 0, len(one)):
        changed = (int.from_bytes(left) ^ int.from_bytes(right)).to_bytes(len(left))
        if first < 0:
            first = at + len(changed) - len(changed.lstrip(b"\0"))
        count += len(changed) - changed.count(0)
    if not count:
        return None
    what = f"{count:,} of {counted(len(one), 'byte')}, first at {first:#x}"
    return Difference(name, what, count)


def _different(
    one: Bytes, other: Bytes, start: int, end: int
) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields the pieces from `start` to `end` that differ, with their offsets."""
    for at in range(start, end, _PIECE):
        part = slice(at, min(at + _PIECE, end))
        left, right = bytes(one[part]), bytes(other[part])
        if left != right:
            yield at, left, right


def in_words(a: Dump, b: Dump, name: str, limit: int) -> list[str]:
    """Returns at most `limit` lines with decoded values that differ: `location: a -> b`."""
    try:
        one, other = a.decode(name), b.decode(name)
        return list(islice(_lines(one, other), limit))
    except DumpFormatError as error:
        return [f"not decoded: {error}"]


def _lines(one: Decoded, other: Decoded) -> Iterator[str]:
    for left, right in zip(one, other, strict=False):
        if isinstance(left, Hexdump) and isinstance(right, Hexdump):
            yield from _memory_lines(left, right)
            continue
        for before, after in zip_longest(rows_of(left), rows_of(right), fillvalue=_NO_ROW):
            if before != after:
                yield _changed(left.title, before, after)


def _changed(title: str, before: Row, after: Row) -> str:
    """Says what of a row changed; of its title, the words before the first remark."""
    cells = [
        f"{name} {before.cells.get(name, 'nothing')} -> {after.cells.get(name, 'nothing')}".lstrip()
        for name in before.cells | after.cells
        if before.cells.get(name) != after.cells.get(name)
    ]
    where = location_of(title, before.label or after.label)
    return f"{where}: {', '.join(cells)}"


def location_of(title: str, label: str) -> str:
    """Says where a row is: its part's title, of which the words before the first remark, and its
    label."""
    return ", ".join(filter(None, [re.split(r" \(|[;,]", title)[0], label]))


def _memory_lines(left: Hexdump, right: Hexdump) -> Iterator[str]:
    for region in left.regions:
        size = region.end - region.start
        if next(_different(left.data, right.data, region.start, region.end), None):
            where = f"{counted(size, 'byte')} at {region.start:#x}"
            yield f"{left.title}, {region.name} ({where}) differs"


def rows_of(part: Table | Fields | Text | Hexdump) -> Iterator[Row]:
    """Yields the values of a part row by row, the fields of a register one by one.

    A row's label is its number, and its first cells if they are names.
    """
    if isinstance(part, Fields):
        yield from (Row("", {item.name: shown(item.value, item.form)}) for item in part.items)
    elif isinstance(part, Text):
        yield from (Row(f"line {i}", {"": line}) for i, line in enumerate(part.lines))
    elif isinstance(part, Table):
        for i, row in enumerate(part.rows):
            first = zip(row[:3], part.columns, strict=False)
            names = [v for v, column in first if isinstance(v, str) and v and not column.form]
            label = f"row {i}, {' '.join(names)}" if names else f"row {i}"
            yield Row(label, dict(_cells(part.columns, row)), " ".join(names))


def _cells(columns: Sequence[Column], row: Sequence[Value]) -> Iterator[tuple[str, str]]:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, Mapping):
            yield from ((name, f"{number:#x}") for name, number in value.items())
        else:
            yield column.name, shown(value, column.form)
