"""Lookups, the mechanism of nearly all indirect registers (lookup.c interprets these tables).

Writing a command register copies a row of a table to data registers. The chip's many lookups
differ only in data: which bits of which registers form the row number, which writes are commands,
whether data moves to the row or from it, and whether a read steps to the next row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from vmcoredd.chip import Register
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.errors import ModelError
from vmcoredd.emu.spaces import Space, Spaces, WordKind

ALL_ONES = 0xFFFFFFFF
MAX_LOOKUPS = 256
MAX_COMMANDS = 256
MAX_PARTS = 3
STEPS = {"": lib.STEP_NEVER, "read": lib.STEP_ON_READ, "command": lib.STEP_ON_COMMAND}


class Index(NamedTuple):
    """Part of a row number: `((register's word >> shift) & mask) * scale`."""

    register: Register
    mask: int = ALL_ONES
    shift: int = 0
    scale: int = 1

    @classmethod
    def field(cls, register: Register, name: str, scale: int = 1) -> Index:
        """Returns the part held by a field of the register."""
        field = register.field(name)
        return cls(register, (1 << field.width) - 1, field.shift, scale)


class When(NamedTuple):
    """A write is a command if `(value & mask) == match`; with `unless`, if not."""

    mask: int = 0
    match: int = 0
    unless: bool = False

    @classmethod
    def set(cls, register: Register, *names: str) -> When:
        """Returns the condition that all these bits of the register are written as 1."""
        mask = register.mask(*names)
        return cls(mask, mask)

    @classmethod
    def clear(cls, register: Register, *names: str) -> When:
        """Returns the condition that all these bits of the register are written as 0."""
        return cls(register.mask(*names), 0)


ALWAYS = When()
Rows = Index | Sequence[Index]


class Lookups:
    """The lookups of one card."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces
        self.entries = ffi.new("struct lookup[]", MAX_LOOKUPS)
        self.commands = ffi.new("struct command[]", MAX_COMMANDS)
        self.count = 0
        self._numbers: dict[tuple[int, int], int] = {}

    def add(
        self,
        command: Register,
        table: Space,
        rows: Rows,
        data: Register | None = None,
        *,
        width: int = 1,
        when: When = ALWAYS,
        store: bool = False,
        store_mask: int = ALL_ONES,
        step: str = "",
    ) -> None:
        """Binds a lookup to the register `command`.

        A write to `command` that passes `when` copies the row of `table` numbered by `rows` to
        `width` words from `data` on (`command` itself by default). With `store` it copies in the
        other direction, and only the bits of `store_mask`. `step` increments the first of `rows`,
        which wraps at its mask: "read" does so after each read of the last data word, "command"
        after each command. Lookups of the same command run in the order in which they were added.
        """
        lookup = self._new_lookup(table, width)
        lookup.when_mask, lookup.when_value, lookup.unless = when.mask, when.match, int(when.unless)
        lookup.store, lookup.store_mask, lookup.step = int(store), store_mask, STEPS[step]
        self._rows(lookup, [rows] if isinstance(rows, Index) else rows)
        self._data(lookup, data or command, through=step == "read")
        self._bind(lookup, command, table)

    def index(self, address: Register, data: Register, table: Space, mask: int = ALL_ONES) -> None:
        """Makes an address/data pair: `data` is the word of `table` at the index in `address`."""
        self.add(address, table, Index(address, mask), data)
        self._data(self.entries[self.count - 1], data, through=True)

    def request(
        self, register: Register, table: Space, *, tag: int, mask: int, shift: int, keep: int
    ) -> None:
        """Puts a table behind one register: after a write of `tag | row`, a read returns the row.

        Any other write stores the bits of `keep` in row `value >> shift`.
        """
        requested = When(tag, tag)
        self.add(register, table, Index(register, mask), when=requested)
        self.add(
            register,
            table,
            Index(register, mask, shift),
            when=requested._replace(unless=True),
            store=True,
            store_mask=keep,
        )

    def reads_as(self, command: Register, *, clear: int = 0, set_: int = 0) -> None:
        """Sets the bits that a command register shows as 0 or as 1 after each command."""
        entry = self.commands[self._command(command)]
        entry.clear |= clear
        entry.set = (entry.set | set_) & ~clear

    def done(self, command: Register, *, clear: int = 0, set_: int = 0) -> None:
        """Does as `reads_as()`, for bits that show whether a command is done, such as busy."""
        self.reads_as(command, clear=clear, set_=set_)
        self.commands[self._command(command)].done |= clear | set_

    def delay(self, reads: int, *commands: Register) -> None:
        """Delays commands until their register has been read `reads` times.

        Applies to all commands with `done()` bits if none is named. Until then the register shows
        the command as unfinished, and data registers keep their values; a new command replaces
        the unfinished one.
        """
        chosen = [self._command(command) for command in commands] or range(len(self._numbers))
        for entry in (self.commands[number] for number in chosen):
            entry.delay = reads if entry.done else 0

    def hang(self, command: Register, *, clear: int = 0, set_: int = 0, now: bool = True) -> None:
        """Makes a register ignore commands from now on and show these bits, for a fault.

        It shows them at once, or with `now=False` only after the next command.
        """
        entry = self.commands[self._command(command)]
        entry.hung, entry.clear, entry.set = 1, (entry.clear | clear) & ~set_, set_
        if now:
            space, index = self._spaces.where(command)
            space.words[index] = (space.words[index] & ~clear) | set_

    def command(self, register: Register) -> Any:
        """Returns the entry of a register that takes commands (`struct command`)."""
        return self.commands[self._command(register)]

    def unfinished(self) -> Iterator[tuple[Space, int, int]]:
        """Yields each register that shows a command as busy: its space and index, and the bits."""
        for (space, index), number in self._numbers.items():
            word, entry = self._spaces.all[space].words[index], self.commands[number]
            if busy := word & entry.done & ~entry.set:
                yield self._spaces.all[space], index, busy

    def save(self) -> bytes:
        """Returns the state of the command registers, including the changes that faults made."""
        return bytes(ffi.buffer(self.commands))

    def load(self, saved: bytes) -> None:
        """Restores what `save()` returned."""
        ffi.buffer(self.commands)[:] = saved

    def resume(self, saved: bytes) -> None:
        """Restores what `save()` returned; a register that no longer hangs is not busy either."""
        busy = [entry.set if entry.hung else 0 for entry in self.commands]
        self.load(saved)
        for (space, index), number in self._numbers.items():
            entry = self.commands[number]
            if not entry.hung:
                self._spaces.all[space].words[index] &= ~(busy[number] & entry.clear)

    def _new_lookup(self, table: Space, width: int) -> Any:
        if self.count == MAX_LOOKUPS:
            raise ModelError(f"more than {MAX_LOOKUPS} lookups")
        lookup = self.entries[self.count]
        self.count += 1
        lookup.table, lookup.width, lookup.next = table.c, width, -1
        return lookup

    def _rows(self, lookup: Any, rows: Sequence[Index]) -> None:
        if not 0 < len(rows) <= MAX_PARTS:
            raise ModelError(f"a row number has 1 to {MAX_PARTS} parts, not {len(rows)}")
        lookup.part_count = len(rows)
        for part, index in zip(lookup.parts, rows, strict=False):
            space, word = self._spaces.where(index.register)
            part.word, part.mask = space.pointer(word), index.mask
            part.shift, part.scale = index.shift, index.scale

    def _data(self, lookup: Any, data: Register, *, through: bool) -> None:
        space, first = self._spaces.where(data)
        lookup.target, lookup.first = space.c, first
        for word in range(first, first + lookup.width):
            space.index(word * space.stride)
            if space.kinds and space.kinds[word] <= WordKind.DUMPED:
                space.set_kind(word, WordKind.PLAIN)
            if through:
                space.set_kind(word, WordKind.DATA, self.count - 1)

    def _bind(self, lookup: Any, command: Register, table: Space) -> None:
        space, _ = self._spaces.where(command)
        if table.number <= space.number:
            raise ModelError(f"{command.name}: {table.name} must be made after {space.name}")
        entry = self.commands[self._command(command)]
        if entry.first < 0:
            entry.first = self.count - 1
            return
        last = self.entries[entry.first]
        while last.next >= 0:
            last = self.entries[last.next]
        last.next = self.count - 1

    def _command(self, register: Register) -> int:
        """Returns the index of the register's entry in `commands`; adds one if there is none."""
        space, index = self._spaces.where(register)
        key = (space.number, index)
        if key not in self._numbers:
            if len(self._numbers) == MAX_COMMANDS:
                raise ModelError(f"more than {MAX_COMMANDS} command registers")
            self._numbers[key] = len(self._numbers)
            self.commands[self._numbers[key]].first = -1
            space.set_kind(index, WordKind.COMMAND, self._numbers[key])
        return self._numbers[key]
