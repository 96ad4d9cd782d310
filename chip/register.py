"""Registers and fields of one chip, read from the tables in `chip/registers/`.

`t5.csv` and `t6.csv` hold every register of each chip, arrays collapsed to (offset, count,
stride), with Chelsio's own names for registers and fields. `linux.csv` lays over them what Linux
adds: its name where it has one (it wins), how the register behaves when accessed, its value after
reset, and the registers that are reached through others (`space`).

A `Register` is its own offset: `io.read(chip.r.PL_WHOAMI)` needs no conversion.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

BAR0 = "bar0"
"""The space a plain access to BAR0 reaches; every other is reached through an index port."""


class UnknownRegister(LookupError, AttributeError):
    """No register (or field) of that name on this chip; the message offers the nearest names."""

    def __init__(self, name: str, where: str, known: list[str]) -> None:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{where} has no {name}{hint}")


class Field(NamedTuple):
    """`width` bits of a word, the lowest at bit `shift`."""

    name: str
    shift: int
    width: int

    @property
    def mask(self) -> int:
        """The field's bits in place."""
        return ((1 << self.width) - 1) << self.shift

    def get(self, word: int) -> int:
        """The field's value in `word`."""
        return (word & self.mask) >> self.shift

    def put(self, value: int) -> int:
        """`value` in place; ValueError if it does not fit."""
        if not 0 <= value < 1 << self.width:
            raise ValueError(f"{self.name}: {value:#x} does not fit {self.width} bits")
        return value << self.shift


def parse_fields(text: str) -> tuple[Field, ...]:
    """The fields of a table's cell: `name:shift:width`, separated by blanks, highest first."""
    parts = (item.rsplit(":", 2) for item in text.split())
    return tuple(Field(name, int(shift), int(width)) for name, shift, width in parts)


class Register(int):
    """One register, or an array of them; as an integer, the offset (of the first) in its space.

    Offsets are in bytes, except in the indirect spaces whose index counts words.
    """

    name: str
    alias: str  # Chelsio's name where Linux has another, else ""
    block: str
    space: str
    count: int
    stride: int
    access: str
    reset: int
    source: str
    _fields: str

    @classmethod
    def of_row(cls, row: Mapping[str, str], extra: Mapping[str, str] | None) -> Register:
        """From a row of a chip's table and, if there is one, the row of `linux.csv` over it."""
        extra = extra or {}
        self = cls(int(row["offset"], 16))
        self.name = extra.get("register") or row["register"]
        self.alias = row["register"] if self.name != row["register"] else ""
        self.block = row["block"]
        self.space = extra.get("space") or BAR0
        self.count = int(row["count"])
        self.stride = int(row["stride"], 16)
        self.access = extra.get("access") or "rw"
        self.reset = int(extra.get("reset") or "0", 16)
        self.source = extra.get("source") or "reg_defs"
        self._fields = extra.get("fields") or row["fields"]
        return self

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The register's fields, highest first; empty where the whole word is one value."""
        return parse_fields(self._fields)

    def field(self, name: str) -> Field:
        """The field called `name`, in whatever case (Linux and Chelsio differ in case only)."""
        for field in self.fields:
            if field.name.lower() == name.lower():
                return field
        raise UnknownRegister(name, self.name, [field.name for field in self.fields])

    def of(self, **values: int) -> int:
        """The word with these fields set and all others 0."""
        word = 0
        for name, value in values.items():
            word |= self.field(name).put(value)
        return word

    def get(self, word: int, name: str) -> int:
        """The value of field `name` in `word`."""
        return self.field(name).get(word)

    def mask(self, *names: str) -> int:
        """The bits of these fields in place."""
        return sum(self.field(name).mask for name in names)

    def decode(self, word: int) -> dict[str, int]:
        """Every field of `word`, highest first."""
        return {field.name: field.get(word) for field in self.fields}

    def __getitem__(self, index: int) -> int:
        """The offset of element `index` of the array."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}[{index}]: it has {self.count} elements")
        return int(self) + index * self.stride

    def __repr__(self) -> str:
        return f"<{self.name} {int(self):#x}>"


class Place(NamedTuple):
    """What stands at an offset: a register and, for an array, which element."""

    register: Register
    element: int

    def __str__(self) -> str:
        name = self.register.name
        return f"{name}[{self.element}]" if self.register.count > 1 else name


class Registers:
    """Every register of one chip, by name (`r.PL_WHOAMI`) and by offset (`r.at(0x19400)`)."""

    def __init__(self, chip: str) -> None:
        self._chip = chip
        self._made: dict[tuple[str, int], Register] = {}
        self._spare: list[dict[str, str]] = []
        self._rows = _read(f"{chip}.csv")
        self._over: dict[tuple[str, int], dict[str, str]] = {}
        known = {int(row["offset"], 16) for row in self._rows}
        for row in _read("linux.csv"):
            if chip in row["chips"].split():
                self._lay_over(row, known)

    def _lay_over(self, row: dict[str, str], known: set[int]) -> None:
        offset = int(row["offset"], 16)
        in_bar = row["space"] in ("", BAR0)
        if row["access"] == "alias" or not in_bar or offset not in known:
            self._spare.append({"block": row["space"], "count": "1", "stride": "0", **row})
        else:
            self._over[BAR0, offset] = row

    @cached_property
    def _by_name(self) -> dict[str, dict[str, str]]:
        names: dict[str, dict[str, str]] = {}
        for row in self._rows:
            over = self._over.get((BAR0, int(row["offset"], 16)))
            names.setdefault(row["register"], row)
            if over:
                names[over["register"]] = row
        names.update((row["register"], row) for row in self._spare)
        return names

    def _make(self, row: dict[str, str]) -> Register:
        over = row if "space" in row else self._over.get((BAR0, int(row["offset"], 16)))
        key = ((over or row)["register"], int(row["offset"], 16))
        if key not in self._made:
            self._made[key] = Register.of_row(row, over)
        return self._made[key]

    def __getitem__(self, name: str) -> Register:
        """The register of that name, Linux's or Chelsio's; the first, where it stands twice."""
        row = self._by_name.get(name)
        if row is None:
            raise UnknownRegister(name, self._chip, list(self._by_name))
        return self._make(row)

    def __getattr__(self, name: str) -> Register:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Register]:
        """Those of BAR0 by offset, then those reached through others, and aliases."""
        for row in (*self._rows, *self._spare):
            yield self._make(row)

    @cached_property
    def _places(self) -> dict[int, tuple[dict[str, str], int]]:
        return {
            int(row["offset"], 16) + i * int(row["stride"], 16): (row, i)
            for row in self._rows
            for i in range(int(row["count"]))
        }

    def at(self, offset: int) -> Place | None:
        """What stands at byte `offset` of BAR0, or None where nothing is described."""
        found = self._places.get(offset)
        return Place(self._make(found[0]), found[1]) if found else None


def _read(name: str) -> list[dict[str, str]]:
    text = (files("chip") / "registers" / name).read_text()
    return list(csv.DictReader(text.splitlines()))
