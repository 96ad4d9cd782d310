"""The registers that `show --register` and its companions select, as a screen and as a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING, Any

import typer

from vmcoredd.chip import Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.register import BAR0, Register
from vmcoredd.cli.options import alternatives, choose, did_you_mean
from vmcoredd.cli.output import out
from vmcoredd.cli.trouble import Trouble
from vmcoredd.cudbg.counters import Joined, counters
from vmcoredd.cudbg.decoded import Allowance, Column, Table, shown
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.words import RegisterEntity, Word, words_of
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import cudbg
    from vmcoredd.cli.render import View

_NO_MATCH = "no register matches all options"
_NO_CHANGE = "no register whose value after reset is known differs from it and matches all options"
_Matches = Callable[[Word], bool]


@dataclass(frozen=True)
class Selection:
    """Which registers are shown, and which of their fields: the values of the options."""

    registers: Sequence[str] = ()
    field: str | None = None
    block: str | None = None
    nonzero: bool = False
    changed: bool = False
    grep: str | None = None

    def __bool__(self) -> bool:
        return self != Selection()


@dataclass(frozen=True)
class Row:
    """A register's word, or the two words of a counter."""

    word: Word
    """Of a counter, the half at the lower offset."""
    label: str
    value: int
    fields: Mapping[str, int]
    counter: Joined[Word] | None = None

    def record(self) -> dict[str, Any]:
        """Returns the row for programs."""
        word = self.word
        return {
            "entity": word.entity,
            "register": self.label,
            "instance": word.instance,
            "block": word.block,
            "space": word.space,
            "offset": word.offset,
            "bits": 64 if self.counter else 32,
            "value": self.value,
            "reset": None if self.counter else word.reset,
            "fields": dict(self.fields),
        }

    def text(self) -> str:
        """Returns what --grep searches."""
        fields = shown(self.fields, "")
        where = f"{self.word.entity} {self.word.space} {self.word.offset:#x}"
        return f"{self.label} {self.word.instance} {where} 0x{self.value:08x} {fields}"


def select(words: Sequence[Word], wanted: Selection, chip: Chip) -> list[Row]:
    """Returns the rows that `wanted` asks for.

    Raises BadParameter for a name that no word has, with those that are like it.
    """
    found = _of_block(_named(words, wanted.registers, chip), wanted.block)
    rows = _with_field(list(_joined(found)), wanted.field)
    if wanted.nonzero:
        rows = [row for row in rows if _is_nonzero(row, wanted)]
    if wanted.changed:
        rows = [row for row in rows if row.word.reset not in (None, row.value)]
    if wanted.grep is not None:
        expression = _expression(wanted.grep)
        rows = [row for row in rows if expression.search(row.text())]
    return rows


def tables(rows: Iterable[Row], *, with_reset: bool = False) -> Iterator[Table]:
    """Yields a table for each entity among the rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.word.entity, []).append(row)
    for entity, group in groups.items():
        columns = _columns(group, with_reset)
        yield Table(entity, columns, [_cells(row, columns) for row in group])


def show_registers(
    dump: cudbg.Dump, names: Sequence[str], wanted: Selection, view: View, trouble: Trouble
) -> None:
    """Prints the registers of the named entities, or of all, that are wanted."""
    from vmcoredd.cli import render

    words = _words(dump, names, trouble)
    rows = select(words, wanted, dump.chip) if words else []
    for table in tables(rows, with_reset=wanted.changed):
        if why := _not_measured(dump, table.title, trouble):
            out.say(f"{table.title}: {why}", style="bold")
        render.show_table(table, view)
        render.say_hidden(view)
        out.print()
    if words and not rows:
        out.say(_NO_MATCH if not wanted.changed else _NO_CHANGE)
    if words and wanted.changed:
        _say_judged(_judged(words, wanted, dump.chip))


def register_records(
    dump: cudbg.Dump,
    names: Sequence[str],
    wanted: Selection,
    allowed: Allowance,
    trouble: Trouble,
) -> dict[str, Any]:
    """Returns the registers that are wanted, for programs."""
    words = _words(dump, names, trouble)
    rows = select(words, wanted, dump.chip) if words else []
    shown = allowed.of(rows)
    held = dict.fromkeys(row.word.entity for row in shown)
    silent = {name: why for name in held if (why := _not_measured(dump, name, trouble))}
    record = {"registers": [row.record() for row in shown], "not_measured": silent}
    if not wanted.changed:
        return record
    known, unknown = _judged(words, wanted, dump.chip) if words else (0, 0)
    return {"reset": {"known": known, "unknown": unknown}, **record}


def _not_measured(dump: cudbg.Dump, name: str, trouble: Trouble) -> str:
    """Returns what of an entity's words was not measured; that is trouble too."""
    why = ""
    with trouble.of(name):
        if why := dump.not_measured(name):
            trouble.in_part[name] = f"{name}: {why}"
    return why


def entities_of(dump: cudbg.Dump, names: Sequence[str]) -> list[str]:
    """Returns the entities of registers in the dump, of the named ones if any."""
    known = entities()
    found = [e.name for e in dump.entities if isinstance(known.get(e.name), RegisterEntity)]
    return [name for name in found if name in names or not names]


def _words(dump: cudbg.Dump, names: Sequence[str], trouble: Trouble) -> list[Word]:
    """Returns the words of the entities that can be read; the others are trouble."""
    words: list[Word] = []
    held = entities_of(dump, names)
    if names and not held:
        what = f"{', '.join(names)}: it holds no registers, and only registers are selected"
        raise typer.BadParameter(f"{what}; pipe `show --entity` into grep", param_hint="--entity")
    for name in held:
        if dump.entity(name).good:
            with trouble.of(name):
                words += words_of(dump, name)
    return words


def _judged(words: Sequence[Word], wanted: Selection, chip: Chip) -> tuple[int, int]:
    """Returns of how many chosen words the value after reset is known, and of how many not."""
    chosen = _of_block(_named(words, wanted.registers, chip), wanted.block)
    known = sum(word.reset is not None for word in chosen)
    return known, len(chosen) - known


def _say_judged(judged: tuple[int, int]) -> None:
    known, unknown = judged
    out.say(f"The value after reset is known for {known:,} of {counted(known + unknown, 'word')}.")
    if unknown:
        words = counted(unknown, "other is not shown: it", "others are not shown: they")
        out.say(f"The {words} may have changed or not.")


# Selecting


def _named(words: Sequence[Word], patterns: Sequence[str], chip: Chip) -> list[Word]:
    matches = [_pattern(pattern) for pattern in patterns]
    chosen = [[word for word in words if one(word)] for one in matches]
    for pattern, found in zip(patterns, chosen, strict=True):
        if words and not found:
            raise typer.BadParameter(_no_such(pattern, words, chip), param_hint="--register")
    if len(chosen) == 1:
        return chosen[0]
    return [word for word in words if not matches or any(one(word) for one in matches)]


def _pattern(pattern: str) -> _Matches:
    """Returns whether a word is at that address, or has that name in that instance."""
    try:
        offset = int(pattern, 0)
    except ValueError:
        pass
    else:
        return lambda word: word.offset == offset and word.space == BAR0
    instance, _, name = pattern.upper().rpartition(".")
    names = re.compile(translate(name)).match
    instance = instance.replace(" ", "")

    def matches(word: Word) -> bool:
        register = word.register
        if register is None:
            return name == "*" and not instance
        if instance and not fnmatchcase(word.instance.replace(" ", "").upper(), instance):
            return False
        return any(names(one) for one in _names(register)) or word.label.upper() == name

    return matches


def _names(register: Register) -> tuple[str, ...]:
    if register.chelsio_name == register.name:
        return (register.name.upper(),)
    return register.name.upper(), register.chelsio_name.upper()


def _no_such(pattern: str, words: Iterable[Word], chip: Chip) -> str:
    """Says why no word has that name: it is unknown, another chip's, or not in dumps."""
    name = pattern.rpartition(".")[2].upper()
    if name in chip.r:
        return f"{name} is not among the registers of the dump that can be read"
    for other in CHIPS:
        if name in other.r:
            return f"a {chip!r} has no {name}, only a {other!r}"
    known = {word.name.casefold(): word.name for word in words if word.name}
    hint = did_you_mean(name.strip("*?").casefold(), known)
    return f"no register is called {pattern}; {hint or '`--register 0x19400` takes an address'}"


def _of_block(words: list[Word], block: str | None) -> list[Word]:
    if block is None or not words:
        return words
    name = choose(block, sorted({word.block for word in words if word.block}), "--block")
    return [word for word in words if word.block == name]


def _joined(words: Sequence[Word]) -> Iterator[Row]:
    """Yields the words; the two of a counter are one."""
    pairs = {id(counter.low): counter for counter in counters(words)}
    highs = {id(counter.high) for counter in pairs.values()}
    for word in words:
        if counter := pairs.get(id(word)):
            first = min(word, counter.high, key=lambda half: half.offset)
            yield Row(first, counter.name, counter.value, {}, counter)
        elif id(word) not in highs:
            yield Row(word, word.label, word.value, word.fields())


def _with_field(rows: list[Row], field: str | None) -> list[Row]:
    if field is None or not rows:
        return rows
    pattern = field.casefold()
    chosen = [
        Row(row.word, row.label, row.value, fields)
        for row in rows
        if (fields := {n: v for n, v in row.fields.items() if fnmatchcase(n.casefold(), pattern)})
    ]
    if not chosen:
        known = {name.casefold(): name for row in rows for name in row.fields}
        hint = alternatives(pattern.strip("*?"), known, "--all shows the fields of each")
        who = f"none of {len(rows):,} registers has a" if rows[1:] else f"{rows[0].label} has no"
        raise typer.BadParameter(f"{who} field {field}; {hint}", param_hint="--field")
    return chosen


def _is_nonzero(row: Row, wanted: Selection) -> bool:
    return any(row.fields.values()) if wanted.field else bool(row.value)


def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        what = f"{text} is no regular expression: {error}"
        raise typer.BadParameter(what, param_hint="--grep") from error


# Showing


def _columns(rows: Sequence[Row], with_reset: bool) -> list[Column]:
    instance = [Column("instance")] if any(row.word.instance for row in rows) else []
    space = [Column("space")] if any(row.word.space != BAR0 for row in rows) else []
    reset = [Column("reset", "x8")] if with_reset else []
    address = [*space, Column("index" if space else "address", "x5")]
    value = [Column("value", "x8"), *reset, Column("fields")]
    return [Column("register"), *instance, *address, *value]


def _cells(row: Row, columns: Sequence[Column]) -> list[Any]:
    cells = {
        "register": row.label,
        "instance": row.word.instance,
        "space": row.word.space,
        "index": row.word.offset,
        "address": row.word.offset,
        "value": row.value,
        "reset": row.word.reset,
        "fields": f"= {row.value:,}" if row.counter else row.fields,
    }
    return [cells[column.name] for column in columns]
