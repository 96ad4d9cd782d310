"""`python -m vmcoredd.cudbg.generate`: writes docs/dump-entities.md, the table of all entities."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.entity import Entity, Measured, entities, measured

PAGE = Path(__file__).resolve().parent.parent / "docs" / "dump-entities.md"
_HEAD = """\
# The entities of a dump

<!-- Made by `python -m vmcoredd.cudbg.generate` from the files in cudbg/entities/; do not edit. -->

In the order in which the kernel's driver collects them. Bytes are counted before compression;
accesses are the register reads and writes that the kernel's driver makes. A dash means that the
number depends on the card; an empty cell, that the chip has no such entity.

| number | entity | contents | file | bytes T5 | T6 | accesses T5 | T6 |
| ---: | --- | --- | --- | ---: | ---: | ---: | ---: |
"""


def page() -> str:
    """Returns the page's text."""
    rows = ("| " + " | ".join(_cells(entity)) + " |\n" for entity in entities().values())
    return _HEAD + "".join(rows)


def _cells(entity: Entity) -> Iterator[str]:
    yield str(entity.number)
    yield f"`{entity.name}`"
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
