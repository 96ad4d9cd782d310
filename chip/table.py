"""The registers of one chip, read from the tables in `chip/registers/` on first use.

| file | contents |
|---|---|
| `t5.csv`, `t6.csv` | every register of BAR0, by Chelsio's name; an array is one row |
| `linux.csv` | overrides and additions: Linux's names, aliases, access, reset values |
| `indirect_t5.csv`, `indirect_t6.csv` | indirect registers, by space |
| `linux_fields.csv` | Linux's names of fields, where Chelsio's differ |
| `linux_absent.csv` | Linux's registers that a chip does not have, and why |
| `linux_elsewhere.csv` | Linux's fields that a chip has at other bits, and which |

A row of `linux.csv` overrides the register at its offset, or adds one if there is none. A word has
two names on one chip only if a row declares it: `alias` names the register that has the other name.
`tests/chip` checks that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from vmcoredd.chip import csvtables
from vmcoredd.chip.csvtables import Row
from vmcoredd.chip.register import BAR0, Location, Register, UnknownRegister

_FOLDER = "registers"


class Registers:
    """Every register of one chip, by name (`r.PL_WHOAMI`) and by offset (`r.at(0x19400)`)."""

    def __init__(self, chip: str) -> None:
        self._chip = chip
        self._made: dict[tuple[str, str], Register] = {}
        self._named: dict[str, tuple[Register, ...]] = {}
        overlay = [row for row in csvtables.rows(_FOLDER, "linux") if chip in row["chips"].split()]
        self._aliases = {row["register"]: row for row in overlay if row["alias"]}
        self._overlay = {row["offset"]: row for row in overlay if not row["alias"]}

    @cached_property
    def _lines(self) -> dict[str, str]:
        """The lines of the chip's table by offset; they are split on use."""
        return {line.split(",", 1)[0]: line for line in csvtables.lines(_FOLDER, self._chip)[1:]}

    @cached_property
    def _offsets(self) -> dict[str, list[str]]:
        """The offsets of each name in BAR0, Chelsio's or Linux's."""
        found: dict[str, list[str]] = {}
        for offset, line in self._lines.items():
            found.setdefault(line.split(",", 2)[1], []).append(offset)
        for offset, row in self._overlay.items():
            if offset not in found.setdefault(row["register"], []):
                found[row["register"]].append(offset)
        return found

    @cached_property
    def _indirect(self) -> dict[str, Row]:
        """The rows of indirect registers, by name."""
        return {row["register"]: row for row in csvtables.rows(_FOLDER, f"indirect_{self._chip}")}

    def _in_bar0(self, offset: str) -> Register:
        if (BAR0, offset) not in self._made:
            line = self._lines.get(offset)
            base = dict(zip(_COLUMNS, line.split(","), strict=True)) if line else {}
            self._made[BAR0, offset] = Register.of_rows(base, self._overlay.get(offset, {}))
        return self._made[BAR0, offset]

    def _indirect_register(self, row: Row) -> Register:
        key = row["space"], row["offset"]
        if key not in self._made:
            self._made[key] = Register.of_rows({}, row)
        return self._made[key]

    def _alias(self, row: Row) -> Register:
        key = "alias", row["register"]
        if key not in self._made:
            self._made[key] = Register.of_rows(self[row["alias"]].row, row)
        return self._made[key]

    def instances(self, name: str) -> tuple[Register, ...]:
        """Returns the registers of that name, by offset: one, or one per function or memory."""
        if name not in self._named:
            self._named[name] = self._find(name)
        return self._named[name]

    def _find(self, name: str) -> tuple[Register, ...]:
        if name in self._aliases:
            return (self._alias(self._aliases[name]),)
        if name in self._offsets:
            return tuple(self._in_bar0(offset) for offset in self._offsets[name])
        if name in self._indirect:
            return (self._indirect_register(self._indirect[name]),)
        known = [*self._offsets, *self._aliases, *self._indirect]
        raise UnknownRegister(name, self._chip, known)

    def words(self, text: str) -> tuple[Location, ...]:
        """Returns the words of a register, by offset: `NAME` names each element of each instance,
        `NAME[3]` the one with that number. Raises UnknownRegister."""
        name, bracket, number = text.removesuffix("]").partition("[")
        found = tuple(
            Location(register, element)
            for register in self.instances(name)
            for element in range(register.count)
        )
        if not bracket:
            return found
        if not re.fullmatch("[0-9]{1,5}", number) or int(number) >= len(found):
            raise UnknownRegister(text, self._chip, [f"{name}[{len(found) - 1}]"])
        return found[int(number) : int(number) + 1]

    def __getitem__(self, name: str) -> Register:
        """Returns the register of that name, Linux's or Chelsio's; the first of several instances.

        Raises UnknownRegister.
        """
        return self.instances(name)[0]

    def __getattr__(self, name: str) -> Register:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self.__dict__[name] = self[name]  # the next access is a plain attribute
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._offsets or name in self._aliases or name in self._indirect

    def __iter__(self) -> Iterator[Register]:
        """Iterates over BAR0 by offset, then over indirect registers; skips aliases."""
        for offset in sorted({*self._lines, *self._overlay}):
            yield self._in_bar0(offset)
        for row in self._indirect.values():
            yield self._indirect_register(row)

    @property
    def aliases(self) -> tuple[Register, ...]:
        """The aliases, which iteration skips."""
        return tuple(self._alias(row) for row in self._aliases.values())

    @cached_property
    def _places(self) -> dict[int, tuple[str, int]]:
        """The register (by offset) and element of every described word of BAR0."""
        found: dict[int, tuple[str, int]] = {}
        for offset, row in self._overlay.items():
            found.update(_elements(offset, row["count"], row["stride"]))
        for offset, line in self._lines.items():
            _, _, _, count, stride, _ = line.split(",")
            found.update(_elements(offset, count, stride))
        return found

    @cached_property
    def _indices(self) -> dict[tuple[str, int], Row]:
        return {(row["space"], int(row["offset"], 16)): row for row in self._indirect.values()}

    def at(self, offset: int, space: str = BAR0) -> Location | None:
        """Returns the register at `offset` in a space, or None if none is described there."""
        if space == BAR0:
            found = self._places.get(offset)
            return Location(self._in_bar0(found[0]), found[1]) if found else None
        row = self._indices.get((space, offset))
        return Location(self._indirect_register(row), 0) if row else None


def _elements(offset: str, count: str, stride: str) -> dict[int, tuple[str, int]]:
    if count in ("", "1"):
        return {int(offset, 16): (offset, 0)}
    first, step = int(offset, 16), int(stride, 16)
    return {first + i * step: (offset, i) for i in range(int(count))}


_COLUMNS = ("offset", "register", "block", "count", "stride", "fields")
