"""Prints a decoded entity: tables, named values, text, and memories section by section.

Only `show` uses this module, and imports it only to decode, because it imports `cudbg`.
"""

from __future__ import annotations

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
    shown,
)


def show(decoded: Decoded, allowed: Allowance, *, hexdump: str | None = None) -> None:
    """Prints every part, and as many rows as are `allowed`.

    For a memory, prints its map and the bytes of the section `hexdump`.
    """
    for part in decoded:
        if isinstance(part, Table):
            _table(part, allowed)
        elif isinstance(part, Fields):
            _fields(part)
        elif isinstance(part, Text):
            _text(part, allowed)
        else:
            _memory(part, hexdump)


def _heading(title: str) -> None:
    if title:
        out.say(title, style="bold")


def _table(part: Table, allowed: Allowance) -> None:
    """Prints plain columns, each as wide as its widest cell; the tables are too long for Rich."""
    _heading(part.title)
    columns = list(part.columns)
    values = allowed.of(part.rows)
    rows = [[_shown(v, c.form) for c, v in zip(columns, row, strict=True)] for row in values]
    rows.insert(0, [column.name for column in columns])
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        cells = map(_aligned, columns, row, widths)
        out.say(("  " + "  ".join(cells)).rstrip())


def _shown(value: Value, form: str) -> str:
    return visible(shown(value, form))


def _aligned(column: Column, text: str, width: int) -> str:
    return text.rjust(width) if column.form else text.ljust(width)


def _fields(part: Fields) -> None:
    _heading(part.title)
    width = max((len(item.name) for item in part.items), default=0)
    for item in part.items:
        meaning = f"  {item.meaning}" if item.meaning else ""
        out.say(f"  {item.name:<{width}}  {_shown(item.value, item.form)}{meaning}")


def _text(part: Text, allowed: Allowance) -> None:
    _heading(part.title)
    for line in allowed.of(part.lines):
        out.say(line)


def _memory(part: Hexdump, hexdump: str | None) -> None:
    _heading(f"{part.title}: {size(len(part.data))}")
    for region in part.regions:
        length = size(region.end - region.start)
        line = f"  0x{region.start:08x}-0x{region.end - 1:08x}  {length:>10}  {region.name}"
        out.say(line)
        if hexdump is not None and region.name == hexdump:
            _hexdump(part.data, region)


def _hexdump(data: Bytes, region: Section) -> None:
    """Rows of 16 bytes; `*` replaces rows equal to the previous one."""
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
