"""Prints a decoded entity: tables, named values, text, and memories section by section.

`show` and `report` import this module only when they decode, because it imports `cudbg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmcoredd.cli.folding import LEAD, folded, folded_text, line, places
from vmcoredd.cli.output import ROW_BYTES, hex_row, out, size, visible
from vmcoredd.cudbg.decoded import (
    Allowance,
    Bytes,
    Column,
    Decoded,
    Fields,
    Hexdump,
    Section,
    Table,
    Text,
    Value,
    all_shown,
)
from vmcoredd.plural import counted

_CAUSE = re.compile(r"CAUSE\d*(\[|_|$)")
"""What the registers are called that hold the causes of interrupts."""


@dataclass
class View:
    """How much is shown, and what was hidden."""

    allowed: Allowance
    hexdump: str | None = None
    """The region of a memory whose bytes are shown."""
    everything: bool = False
    """Whether fields that are zero are shown."""
    hidden: int = 0
    """How many such fields were not."""


def show(decoded: Decoded, view: View) -> None:
    """Prints every part, and as many rows as are allowed; of a memory, its map."""
    for part in decoded:
        if isinstance(part, Table):
            show_table(part, view)
        elif isinstance(part, Fields):
            _fields(part, view)
        elif isinstance(part, Text):
            _text(part, view.allowed)
        else:
            _memory(part, view.hexdump)


def say_hidden(view: View) -> None:
    """Says how many fields were hidden, if any."""
    if view.hidden:
        fields = counted(view.hidden, "field that is zero is", "fields that are zero are")
        out.say(f"{fields} hidden: --all shows them", style="dim")
        view.hidden = 0


def _heading(title: str) -> None:
    if title:
        _say_text(title, style="bold")


def _say_text(text: str, style: str = "") -> None:
    for one in folded_text(text, out.width) if out.is_terminal else (text,):
        out.say(one, style)


def show_table(part: Table, view: View) -> None:
    """Prints plain columns, each as wide as its widest cell; the tables are too long for Rich.

    Rows are folded at the width of a terminal, and are long lines elsewhere.
    """
    _heading(part.title)
    columns = list(part.columns)
    values = view.allowed.of(part.rows)
    if not values and next(iter(part.rows), None) is None:
        out.say(f"{LEAD}none")
        return
    by_column = list(zip(*values, strict=True)) or [()] * len(columns)
    texts = [
        [column.name, *_all_shown(cells, column.form, view)]
        for column, cells in zip(columns, by_column, strict=True)
    ]
    last = texts[-1:] if columns and not columns[-1].form else []
    aligned = [*map(_aligned, columns, texts[: len(texts) - len(last)]), *last]
    rows = zip(*aligned, strict=True)
    if not out.is_terminal:
        out.say_all(map(line, rows))
        return
    at = places([max(map(len, cells)) for cells in aligned], out.width)
    for row, style in zip(rows, ["", *_styles(columns, values)], strict=True):
        for one in folded(row, out.width, at):
            out.say(one, style)


def _aligned(column: Column, cells: list[str]) -> list[str]:
    """Returns the cells of a column, each as wide as the widest."""
    width = max(map(len, cells))
    return [cell.rjust(width) if column.form else cell.ljust(width) for cell in cells]


def _lines(cells: list[str]) -> Iterable[str]:
    return folded(cells, out.width) if out.is_terminal else (line(cells),)


def _styles(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> list[str]:
    """Returns each row's style: causes of interrupts stand out, registers that are zero do not."""
    names = [column.name for column in columns]
    if not {"register", "value"} <= set(names):
        return [""] * len(rows)
    register, value = names.index("register"), names.index("value")
    return [_style(str(row[register]), row[value]) for row in rows]


def _style(register: str, value: Value) -> str:
    if not value:
        return "dim"
    return "bold red" if _CAUSE.search(register) else ""


def _all_shown(values: Sequence[Value], form: str, view: View) -> list[str]:
    """Returns the cells of a column in words, which must be quick: a dump has 100,000 cells."""
    if not view.everything:
        values = [_without_zeros(value, view) for value in values]
    texts = all_shown(values, form)
    return texts if "".join(texts).isprintable() else [visible(text) for text in texts]


def _without_zeros(value: Value, view: View) -> Value:
    if isinstance(value, str | int) or not isinstance(value, Mapping):
        return value
    fields = {name: number for name, number in value.items() if number}
    view.hidden += len(value) - len(fields)
    return fields


def _fields(part: Fields, view: View) -> None:
    _heading(part.title)
    width = max((len(item.name) for item in part.items), default=0)
    for item in part.items:
        cells = [f"{item.name:<{width}}", *_all_shown([item.value], item.form, view)]
        for one in _lines([*cells, item.meaning] if item.meaning else cells):
            out.say(one)


def _text(part: Text, allowed: Allowance) -> None:
    _heading(part.title)
    for text in allowed.of(part.lines):
        _say_text(visible(text))


def _memory(part: Hexdump, hexdump: str | None) -> None:
    _heading(f"{part.title}: {size(len(part.data))}")
    for region in part.regions:
        length = size(region.end - region.start)
        line = f"  0x{region.start:08x}-0x{region.end - 1:08x}  {length:>10}  {region.name}"
        out.say(line)
        if hexdump is not None and region.name == hexdump:
            _hexdump(part.data, region)


def _hexdump(data: Bytes, region: Section) -> None:
    """Prints rows of 16 bytes; one `*` replaces rows equal to the previous one."""
    before, folded = b"", False
    for at in range(region.start, region.end, ROW_BYTES):
        row = bytes(data[at : min(at + ROW_BYTES, region.end)])
        if row == before:
            if not folded:
                out.print("  *")
            folded = True
            continue
        before, folded = row, False
        out.say(f"  {hex_row(at, row)}")
