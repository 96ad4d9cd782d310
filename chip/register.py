"""A register: its offset, its fields, the effect of an access, and the source of each fact.

A `Register` is an int, its offset, so that `io.read(chip.r.PL_WHOAMI)` needs no conversion. The
tables are described in `chip.table`.

`access` is one of:

| access | effect |
|---|---|
| `rw` | plain storage (the default, also used where the effect is unknown) |
| `ro` | only the hardware writes it; a write is a driver bug |
| `wo` | a write takes effect; the value read has no meaning |
| `w1c` | the hardware sets bits; writing a 1 clears the bit |
| `rs` | a read has a side effect: it takes a mailbox, or advances to the next word |
| `index` | selects what its `data` registers show; reading it has no effect |
| `data` | shows what an `index` register selects; reading it has no side effect |
| `request` | write a request, then read the reply from the same register |
| `strobe` | a write starts an operation; reading shows its status |
| `window` | a window on adapter memory |

`source` is the source of the name, offset and fields; `reset_source`, of the value after reset:

| source | |
|---|---|
| `reg_defs` | Chelsio's register database, as FreeBSD's cxgbetool carries it |
| `t4_regs.h` | Linux, drivers/net/ethernet/chelsio/cxgb4/t4_regs.h |
| `t4_hw.c`, `cxgb4_main.c`, `cudbg_lib.c` | Linux, a number in the code of the driver |
| `cxgbe` | Chelsio's full t4_regs.h, as FreeBSD's cxgbe driver carries it |
| `cudbg_view` | the tables of Chelsio's dump viewer |
| `fw_cfg` | Chelsio's firmware configuration files, as FreeBSD carries them |
| `published` | published dumps and logs of real cards |
| `assumed` | no source; an assumption of this project |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from vmcoredd.chip import csvtables

BAR0 = "bar0"
"""The space of plain accesses to BAR0. The registers of other spaces are indirect."""
BIT = "bit "
"""How the name of a bit begins that no field has: `bit 27`."""


class UnknownRegister(LookupError, AttributeError):
    """No register or field has that name; the message suggests similar ones."""

    def __init__(self, name: str, where: str, known: list[str]) -> None:
        import difflib  # only errors need it, and importing it is slow

        spelt = {other.lower(): other for other in known}
        near = [spelt[match] for match in difflib.get_close_matches(name.lower(), spelt, n=3)]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{where} has no {name}{hint}")


class Field(NamedTuple):
    """`width` bits of a word, the lowest at bit `shift`."""

    name: str
    shift: int
    width: int

    @property
    def mask(self) -> int:
        """The bits of the field in its word."""
        return ((1 << self.width) - 1) << self.shift

    def get(self, word: int) -> int:
        """Returns the value of the field in `word`."""
        return word >> self.shift & (1 << self.width) - 1

    def get_each(self, words: Iterable[int]) -> list[int]:
        """Returns the value of the field in each of `words`."""
        shift, ones = self.shift, (1 << self.width) - 1
        return [word >> shift & ones for word in words]

    def put(self, value: int) -> int:
        """Returns `value` shifted to the field. Raises ValueError if it does not fit."""
        if not 0 <= value < 1 << self.width:
            raise ValueError(f"{self.name}: {value:#x} does not fit {self.width} bits")
        return value << self.shift


@cache
def parse_fields(text: str) -> tuple[Field, ...]:
    """Parses fields as in the tables: `name:shift:width`, separated by spaces, highest first."""
    parts = (item.rsplit(":", 2) for item in text.split())
    return tuple(Field(name, int(shift), int(width)) for name, shift, width in parts)


SOURCES = (
    "reg_defs",
    "t4_regs.h",
    "t4_hw.c",
    "cxgb4_main.c",
    "cudbg_lib.c",
    "cxgbe",
    "cudbg_view",
    "fw_cfg",
    "published",
    "assumed",
)
ACCESS = ("rw", "ro", "wo", "w1c", "rs", "index", "data", "request", "strobe", "window")


class Register(int):
    """A register or an array of registers; as an int, the offset of the first one in its space.

    Offsets are in bytes, except in the indirect spaces whose index counts words.
    """

    name: str
    chelsio_name: str
    """Chelsio's name, which may differ from Linux's."""
    alias: str
    """The register that this is a second name for; empty if it is not an alias."""
    block: str
    space: str
    count: int
    stride: int
    access: str
    reset: int
    """The value after reset; in an array, of element 0 (the others are 0)."""
    source: str
    reset_source: str
    note: str
    row: Mapping[str, str]
    """The table rows that it was made from, merged."""
    _fields: str

    @classmethod
    def of_rows(cls, base: Mapping[str, str], over: Mapping[str, str]) -> Register:
        """Makes a register from the chip's row and an overriding row; one may be empty."""
        row = {**base, **{key: value for key, value in over.items() if value}}
        get = row.get
        self = cls(int(get("offset", "0"), 16))
        self.row = row
        self.name = get("register", "")
        self.chelsio_name = base.get("register", self.name)
        self.alias = get("alias", "")
        self.space = get("space", BAR0)
        self.block = get("block", self.space)
        self.count = int(get("count", "1"))
        self.stride = int(get("stride", "0"), 16)
        self.access = get("access", "rw")
        self.reset = int(get("reset", "0"), 16)
        self.source = get("source", "reg_defs")
        self.reset_source = get("reset_source", "")
        self.note = get("note", "")
        self._fields = get("fields", "")
        return self

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields, highest first; empty if the whole word is one value."""
        return parse_fields(self._fields)

    def field(self, name: str) -> Field:
        """Returns a field by its name in Chelsio's database or in Linux, ignoring case."""
        found = self._by_name.get(name.lower())
        if found is None:
            chelsio = _linux_fields().get((self.name, name.upper()), "")
            found = self._by_name.get(chelsio.lower())
        if found is None:
            raise UnknownRegister(name, self.name, [field.name for field in self.fields])
        return found

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name.lower(): field for field in self.fields}

    def of(self, **values: int) -> int:
        """Returns the word with these fields set and all others 0."""
        word = 0
        for name, value in values.items():
            word |= self.field(name).put(value)
        return word

    def get(self, word: int, name: str) -> int:
        """Returns the value of field `name` in `word`, or of a bit that no field has (`bit 27`)."""
        if name.startswith(BIT):
            return word >> int(name.removeprefix(BIT)) & 1
        return self.field(name).get(word)

    def names_of(self, bits: int) -> Iterator[str]:
        """Yields the names of the fields that have one of `bits`, highest first, and then those of
        the bits that no field has."""
        for field in self.fields:
            if field.mask & bits:
                yield field.name
                bits &= ~field.mask
        yield from (f"{BIT}{bit}" for bit in range(bits.bit_length()) if bits >> bit & 1)

    def mask(self, *names: str) -> int:
        """Returns the bits of these fields."""
        return sum(self.field(name).mask for name in names)

    def decode(self, word: int) -> dict[str, int]:
        """Returns the value of every field in `word`, highest first."""
        return {name: word >> shift & (1 << width) - 1 for name, shift, width in self.fields}

    def __getitem__(self, index: int) -> int:
        """Returns the offset of element `index` of the array."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}[{index}]: it has {self.count} elements")
        return int(self) + index * self.stride

    def __repr__(self) -> str:
        return f"<{self.name} {int(self):#x}>"


@cache
def _linux_fields() -> dict[tuple[str, str], str]:
    """Returns Chelsio's field names by register and Linux's field name, where they differ."""
    rows = csvtables.rows("registers", "linux_fields")
    return {(row["register"], row["linux"]): row["field"] for row in rows if row["field"]}


class Location(NamedTuple):
    """The register at an offset and, in an array, the element."""

    register: Register
    element: int

    def __str__(self) -> str:
        name = self.register.name
        return f"{name}[{self.element}]" if self.register.count > 1 else name
