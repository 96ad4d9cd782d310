"""Structures as tables: each field's offset, size, type and name; with bytes, also its value."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from vmcoredd.chip.layout import sizeof

Structure = type[Any]
"""A ctypes structure."""
_MOST = 16
"""Bytes of a field that are shown."""


class Place(NamedTuple):
    """A field of a structure; `bits` is empty unless it is narrower than its word."""

    name: str
    offset: int
    size: int
    bits: str
    type: str
    inner: Structure | None
    """The structure that it consists of, if it is one or an array of them."""


def places(layout: Structure) -> Iterator[Place]:
    """Yields the fields, also reserved ones."""
    for name, kind, *_ in layout._fields_:
        if not sizeof(kind):
            continue
        field = getattr(layout, name)
        width, low = field.size >> 16, field.size & 0xFFFF
        bits = _bits(low, width) if width else ""
        yield Place(name, field.offset, sizeof(kind), bits, _type(kind), _inner(kind))


def _bits(low: int, width: int) -> str:
    return f"{low + width - 1}:{low}" if width > 1 else f"{low}"


def _element(kind: Any) -> tuple[Any, list[int]]:
    """Returns the type of an array's elements, and how many there are in each dimension."""
    counts = []
    while issubclass(kind, ctypes.Array) and kind._type_ is not ctypes.c_char:
        counts.append(kind._length_)
        kind = kind._type_
    return kind, counts


def _type(kind: Any) -> str:
    element, counts = _element(kind)
    if issubclass(element, ctypes.Structure):
        name = str(element.__name__)
    elif issubclass(element, ctypes.Array):
        name, counts = "char", [*counts, element._length_]
    else:
        name = f"{'i' if element(-1).value < 0 else 'u'}{8 * sizeof(element)}"
    return name + "".join(f"[{count}]" for count in counts)


def _inner(kind: Any) -> Structure | None:
    element, _ = _element(kind)
    return element if issubclass(element, ctypes.Structure) else None


def layout_table(layout: Structure) -> str:
    """Returns the table of a structure's fields."""
    rows = (
        f"| {place.offset:#x} | {place.size} | {place.type} | {_name(place)} |\n"
        for place in places(layout)
    )
    return "| offset | bytes | type | field |\n| ---: | ---: | --- | --- |\n" + "".join(rows)


def _name(place: Place) -> str:
    return f"`{place.name}`" + (f" bits {place.bits}" if place.bits else "")


def bytes_table(
    layout: Structure, data: bytes, start: int, meaning: Callable[[str, Any], str]
) -> str:
    """Returns the table of what stands in `data`, whose first byte is at offset `start`; `meaning`
    tells what a field's value means."""
    values = layout.from_buffer_copy(data)
    rows = []
    for place in places(layout):
        raw = data[place.offset : place.offset + place.size]
        more = f" … {place.size - _MOST} more" if place.size > _MOST else ""
        value = getattr(values, place.name)
        shown = f"`{raw[:_MOST].hex(' ')}`{more}"
        text = meaning(place.name, value)
        rows.append(
            f"| {start + place.offset:#x} | {shown} | {place.type} {_name(place)} | {text} |\n"
        )
    return "| offset | bytes | field | |\n| ---: | --- | --- | --- |\n" + "".join(rows)
