"""Every entity of a dump: what it is, its layout, and what `show --entity` prints of a card's."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from made.dumps import card_with, dump_file
from made.layouts import Structure, layout_table, places
from vmcoredd.chip import T5, T6
from vmcoredd.chip.layout import sizeof
from vmcoredd.cli.main import parser
from vmcoredd.cudbg.entity import Entity, Measured, Stage, entities, measured
from vmcoredd.cudbg.names import short_name
from vmcoredd.plural import counted

_KERNEL = re.compile(r"cudbg_\w+\(\)")
_STAGES = {
    Stage.DRIVER: "first, with what the driver keeps",
    Stage.FIRMWARE: "second: the firmware's log",
    Stage.HARDWARE: "third, with the hardware",
    Stage.MEMORIES: "last, with the memories",
}
_LINES, _WIDTH = 20, 150
"""Of the example."""


def entities_one_by_one() -> str:
    """Returns a section for each entity, in the order of collection."""
    return "\n".join(part for entity in entities().values() for part in _section(entity))


def _section(entity: Entity) -> Iterator[str]:
    yield f"## {entity.name}\n"
    yield f"{inspect.getdoc(type(entity))}\n"
    rows = (f"| {key} | {value} |\n" for key, value in _facts(entity))
    yield "| | |\n| --- | --- |\n" + "".join(rows)
    if not entity.layouts:
        yield f"No structure: words of 32 bits or bytes, unless said above, {_order(entity)}.\n"
    for layout in _with_inner(entity.layouts):
        about = " ".join((inspect.getdoc(layout) or "").split())
        yield f"`{layout.__name__}`, {counted(sizeof(layout), 'byte')}, {_order(entity)}: {about}\n"
        yield layout_table(layout)
    yield from _example(entity.name)


def _order(entity: Entity) -> str:
    return f"in the byte order of the {'host' if entity.host_order else 'adapter'}"


def _facts(entity: Entity) -> Iterator[tuple[str, str]]:
    functions = _KERNEL.findall(inspect.getdoc(type(entity)) or "")
    yield "number", str(entity.number)
    yield "short name", f"`{short_name(entity.name)}`"
    yield "collected in Linux by", ", ".join(f"`{name}`" for name in functions)
    yield "stage", _STAGES[entity.stage]
    yield "chips", ", ".join(chip.name.upper() for chip in entity.chips or (T5, T6))
    yield "bytes", _both(entity, entity.raw_bytes)
    if entity.entry_bytes:
        yield "of a record", str(entity.entry_bytes)
    yield "register accesses", _both(entity, entity.accesses)
    if entity.explained_by:
        yield (
            "decoded with the help of",
            ", ".join(f"[{n}](#{n.lower()})" for n in entity.explained_by),
        )
    yield "in", f"`cudbg/entities/{type(entity).__module__.rpartition('.')[2]}.py`"


def _both(entity: Entity, value: Measured) -> str:
    """Returns the number for each chip that has the entity; one if they are equal."""
    numbers = {chip.name.upper(): measured(value, chip) for chip in entity.chips or (T5, T6)}
    if None in numbers.values():
        return "depends on the card"
    if len(set(numbers.values())) == 1:
        return f"{next(iter(numbers.values())):,}"
    return ", ".join(f"{number:,} ({name})" for name, number in numbers.items())


def _with_inner(layouts: Sequence[Structure]) -> list[Structure]:
    """Returns the structures, each followed by those that it consists of."""
    found: list[Structure] = []
    for layout in layouts:
        inner = [place.inner for place in places(layout) if place.inner]
        found += [each for each in (layout, *_with_inner(inner)) if each not in found]
    return found


def _example(name: str) -> Iterator[str]:
    card = card_with(name)
    yield f"Of an emulated {card}, `vmcoredd show vmcore --entity {name}` prints:\n"
    lines = _printed(dump_file(card), name)
    shown = [f"{line[:_WIDTH]} …" if len(line) > _WIDTH else line for line in lines[:_LINES]]
    if more := len(lines) - len(shown):
        shown.append(f"… {counted(more, 'more line')}")
    yield "```text\n" + "\n".join(shown) + "\n```\n"


def _printed(vmcore: Path, name: str) -> list[str]:
    text = io.StringIO()
    with redirect_stdout(text):
        parser()(["show", str(vmcore), "--entity", name], standalone_mode=False)
    return text.getvalue().rstrip().splitlines()
