"""`python -m vmcoredd.cudbg.generate`: writes docs/reference/dump-entities.md, a table."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.entity import Entity, Measured, entities, measured
from vmcoredd.cudbg.foreign import decoders
from vmcoredd.cudbg.names import published, short_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "dump-entities.md"
_HEAD = """\
# The entities of a dump

<!-- Made by `python -m vmcoredd.cudbg.generate` from the files in cudbg/entities/; do not edit. -->

In the order in which the kernel's driver collects them. Bytes are counted before compression;
accesses are the register reads and writes that the kernel's driver makes. A dash means that the
number depends on the card; an empty cell, that the chip has no such entity. `--entity` takes an
entity's name, its short name, which the vendor's collector uses, or its number.
[Entities one by one](entities.md) has the layout of each, and an example.

| number | entity | short name | contents | file | bytes T5 | T6 | accesses T5 | T6 |
| ---: | --- | --- | --- | --- | ---: | ---: | ---: | ---: |
"""
_OTHERS_HEAD = """
## Entities that are not in a crash dump of Linux

`ethtool -w` adds FLASH, which is 71 there; FreeBSD's driver and the vendor's collector write the
others. In the vendor's dumps the numbers from 71 on are the vendor's. All are listed and extracted;
those that are decoded have the layout of FreeBSD's driver, and were never seen from the field.

| number | entity | short name | decoded |
| ---: | --- | --- | --- |
"""


def page() -> str:
    """Returns the page's text."""
    rows = map(_cells, entities().values())
    return _HEAD + _table(rows) + _OTHERS_HEAD + _table(map(_other_cells, published()))


def _table(rows: Iterable[Iterable[str]]) -> str:
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _other_cells(other: tuple[int, str, str]) -> Iterator[str]:
    number, name, short = other
    yield from (str(number), f"`{name}`", f"`{short}`", "yes" if name in decoders() else "")


def _cells(entity: Entity) -> Iterator[str]:
    yield str(entity.number)
    yield f"`{entity.name}`"
    yield f"`{short_name(entity.name)}`"
    yield _summary(entity)
    yield f"`{type(entity).__module__.rpartition('.')[2]}.py`"
    for value in (entity.raw_bytes, entity.accesses):
        for chip in (T5, T6):
            yield _shown(entity, value, chip)


def _summary(entity: Entity) -> str:
    """Returns the first sentence of the class's docstring, without the kernel's function."""
    sentence = " ".join((inspect.getdoc(type(entity)) or "").split())
    return sentence.partition(" (cudbg_")[0].partition(". ")[0].rstrip(".")


def _shown(entity: Entity, value: Measured, chip: Chip) -> str:
    if entity.chips is not None and chip not in entity.chips:
        return ""
    number = measured(value, chip)
    return "-" if number is None else f"{number:,}"


if __name__ == "__main__":
    PAGE.write_text(page())
