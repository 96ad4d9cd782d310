"""Layouts of memory, as ctypes structures with checks.

A value that does not fit its field, a misspelt field and a buffer of the wrong size are errors.
Plain ctypes truncates the value, adds an attribute, or accepts the buffer.

Fields narrower than a word are written as in the register tables, `name:shift:width` (see
`chip.register`), and a layout reads like the header it comes from:

    class HelloWords(BigStruct):
        _fields_ = (*word("err:31:1 mbmaster:24:4"), ("fwrev", u32))
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator
from ctypes import sizeof
from typing import Any, ClassVar, Self

from vmcoredd.chip.register import parse_fields
from vmcoredd.plural import exact

__all__ = [
    "U16_MASK",
    "U32_MASK",
    "WORD_BYTES",
    "BigStruct",
    "FieldSpec",
    "LayoutError",
    "LittleStruct",
    "column",
    "field_width",
    "i16",
    "i32",
    "little_word",
    "reserved",
    "signed",
    "sizeof",
    "u8",
    "u16",
    "u16s",
    "u32",
    "u32s",
    "u64",
    "u64s",
    "word",
]

WORD_BYTES = 4
"""The size of a register."""
U16_MASK = 0xFFFF
U32_MASK = 0xFFFFFFFF
"""The low 32 bits, which the kernel's u32 arithmetic keeps."""

u8 = ctypes.c_uint8
u16 = ctypes.c_uint16
u32 = ctypes.c_uint32
u64 = ctypes.c_uint64
i16 = ctypes.c_int16
i32 = ctypes.c_int32

_RESERVED = "_reserved"
_END_OF_WORD = (f"{_RESERVED}_end", u8 * 0)
"""Empty; it keeps ctypes from packing bits of a wider following word into this one."""


class LayoutError(ValueError):
    """A buffer has the wrong size; `need` and `have` are in bytes."""

    def __init__(self, what: str, need: int, have: int) -> None:
        self.what, self.need, self.have = what, need, have
        super().__init__(f"{what}: need {exact(need, 'byte')}, have {have}")


FieldSpec = tuple[Any, ...]
"""An element of `_fields_`: name, type and, for a bit field, width."""


def word(fields: str, ctype: type[Any] = u32) -> list[FieldSpec]:
    """Returns the bit fields of one word, given as `name:shift:width`, highest first.

    Gaps become reserved fields. This is for big-endian structures, whose bit fields ctypes lays
    out from the top bit down; for little-endian ones, see `little_word`.
    """
    return [*_cut(fields, ctype), _END_OF_WORD]


def little_word(fields: str, ctype: type[Any] = u32) -> list[FieldSpec]:
    """As `word`, for little-endian structures: ctypes lays out their bit fields from bit 0 up."""
    return [*reversed(_cut(fields, ctype)), _END_OF_WORD]


def _cut(fields: str, ctype: type[Any]) -> list[FieldSpec]:
    entries: list[FieldSpec] = []
    top = sizeof(ctype) * 8
    for field in parse_fields(fields):
        entries += _gap(ctype, field.shift + field.width, top)
        entries.append((field.name, ctype, field.width))
        top = field.shift
    return entries + _gap(ctype, 0, top)


def _gap(ctype: type[Any], low: int, high: int) -> list[FieldSpec]:
    if high < low:
        raise ValueError(f"fields overlap at bit {high}, or do not go from high to low")
    return [(f"{_RESERVED}{low}", ctype, high - low)] if high > low else []


def field_width(descriptor: Any) -> int:
    """Returns the width in bits of a field, from its ctypes descriptor (`type(struct).name`)."""
    size: int = descriptor.size
    return size >> 16 or size * 8


def reserved(size: int) -> list[FieldSpec]:
    """Returns a field of `size` reserved bytes."""
    return [(f"{_RESERVED}_tail", u8 * size)]


class _Checked:
    """The checks, for both byte orders."""

    _fields_: ClassVar[Any]
    _ranges: ClassVar[dict[str, tuple[int, int]]] = {}
    _arrays: ClassVar[dict[str, type[Any]]] = {}
    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        entries = cls.__dict__.get("_fields_", ())
        ranges = {entry[0]: _range(entry) for entry in entries if _is_number(entry[1])}
        cls._ranges = cls._ranges | ranges
        cls._arrays = cls._arrays | {e[0]: e[1] for e in entries if _is_array(e[1])}
        cls._names = cls._names + tuple(e[0] for e in entries if not e[0].startswith(_RESERVED))

    def __setattr__(self, name: str, value: Any) -> None:
        limits = self._ranges.get(name)
        if limits:
            if not limits[0] <= value <= limits[1]:
                low, high = limits
                raise ValueError(f"{type(self).__name__}.{name}: {value} is not in {low}..{high}")
        elif name in self._arrays and not isinstance(value, ctypes.Array):
            getattr(self, name)[:] = self._items(name, value)
            return
        elif not hasattr(type(self), name):
            raise self._unknown(name)
        super().__setattr__(name, value)

    def _unknown(self, name: str) -> AttributeError:
        import difflib  # only errors need it, and importing it is slow

        near = difflib.get_close_matches(name, self._names, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return AttributeError(f"{type(self).__name__} has no field {name}{hint}")

    def _items(self, name: str, values: Iterable[Any]) -> tuple[Any, ...]:
        items, need = tuple(values), self._arrays[name]._length_
        if len(items) != need:
            raise LayoutError(f"{type(self).__name__}.{name}", need, len(items))
        return items

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Copies the first bytes of `data`. Raises LayoutError if there are too few."""
        kind: Any = cls
        if len(data) < sizeof(kind):
            raise LayoutError(cls.__name__, sizeof(kind), len(data))
        made: Self = kind.from_buffer_copy(data)
        return made

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Returns the names of the fields in order, without reserved ones."""
        return cls._names

    @classmethod
    def places(cls) -> Iterator[tuple[str, int, int, int]]:
        """Yields, for each field but reserved ones: its name, the offset and size in bytes of the
        word that holds it, and the mask of its bits there; for an array, those of its first
        element."""
        for entry in cls._fields_:
            if (name := entry[0]) in cls._names:
                offset = getattr(cls, name).offset
                size = sizeof(cls._arrays[name]._type_ if name in cls._arrays else entry[1])
                yield name, offset, size, cls._mask(name, offset, size)

    @classmethod
    def _mask(cls, name: str, offset: int, size: int) -> int:
        ones: Any = cls()
        if name in cls._arrays:
            return (1 << 8 * size) - 1
        setattr(ones, name, cls._ranges[name][1])
        return int.from_bytes(bytes(ones)[offset : offset + size], "big")

    def items(self) -> Iterator[tuple[str, Any]]:
        """Returns the names and values of the fields in order, without reserved ones."""
        return ((name, getattr(self, name)) for name in self._names)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self.items() if value)
        return f"{type(self).__name__}({shown})"


_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def column(records: memoryview, layout: type[LittleStruct], name: str) -> memoryview:
    """Returns a view of the unsigned field `name` in each of the `records`, adjacent structures of
    `layout`; assigning to an element raises ValueError if the value does not fit."""
    field: Any = getattr(layout, name)
    form: Any = _FORMATS[field.size]
    return records.cast(form)[field.offset // field.size :: sizeof(layout) // field.size]


class BigStruct(_Checked, ctypes.BigEndianStructure):
    """A checked layout of big-endian numbers, such as the firmware's."""


class LittleStruct(_Checked, ctypes.LittleEndianStructure):
    """A checked layout of little-endian numbers, such as the host's in a dump."""


def _is_number(ctype: type[Any]) -> bool:
    return issubclass(ctype, ctypes._SimpleCData)


def _is_array(ctype: type[Any]) -> bool:
    return issubclass(ctype, ctypes.Array)


def _range(entry: FieldSpec) -> tuple[int, int]:
    bits = entry[2] if len(entry) > 2 else sizeof(entry[1]) * 8
    if entry[1](-1).value < 0:
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1


def _short(value: Any) -> str:
    if isinstance(value, ctypes.Array):
        return bytes(value).hex() if value._type_ is u8 else repr(list(value))
    return f"{value:#x}" if isinstance(value, int) else repr(value)


def u16s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """Returns the little-endian 16-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 2}H", data)


def u32s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """Returns the little-endian 32-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 4}I", data)


def u64s(data: bytes | bytearray | memoryview) -> tuple[int, ...]:
    """Returns the little-endian 64-bit words of `data`."""
    return struct.unpack(f"<{len(data) // 8}Q", data)


def signed(word: int) -> int:
    """Returns the low 32 bits as a signed number."""
    word &= U32_MASK
    return word - (1 << 32) if word >> 31 else word
