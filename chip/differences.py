"""The page docs/reference/t5-vs-t6.md: how T5 and T6 differ, as `chip/` describes them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from vmcoredd.chip.csvtables import rows as table_rows
from vmcoredd.chip.model import INDIRECT_GROUPS, T5, T6, Chip
from vmcoredd.chip.register import BAR0, Field, Register
from vmcoredd.plural import counted

BLOCKS = {
    "cim": "CIM: the embedded processor",
    "le": "LE: the lookup engine",
    "memory": "Memories and their regions",
    "messages": "Messages in queues",
    "mps": "MPS: the packet switch",
    "sge": "SGE: queues",
    "tp": "TP: the transport processor",
}
"""The files with a T5 and a T6 record, and their headings."""
_INTRO = """This page lists how T5 and T6 differ: sizes and behaviour by block, then registers. It
omits the facts that both chips share. `-` means that the chip does not have it."""


class Difference(NamedTuple):
    """One row of a table."""

    what: str
    t5: str
    t6: str
    source: str


def page() -> list[str]:
    """Returns the lines of the page, without its title."""
    lines = [_INTRO, "", "## The chips", "", *_table(_chips())]
    for module, heading in BLOCKS.items():
        lines += ["", f"## {heading}", "", *_table(_records(import_module(f"{_HOME}.{module}")))]
    lines += ["", "## What a dump reads", "", *_table(_dump())]
    lines += ["", "## Registers", "", *_register_counts()]
    for chip, other in ((T6, T5), (T5, T6)):
        lines += ["", f"## Registers that Linux names and only {chip} has", "", *_own(chip, other)]
    lines += ["", "## Registers that Linux names, at different offsets", "", *_moved()]
    lines += ["", "## Registers that Linux misplaces on one chip", "", *_misplaced()]
    return [*lines, "", "## Fields that Linux misplaces on one chip", "", *_elsewhere()]


_HOME = "vmcoredd.chip"


def _table(differences: Iterator[Difference]) -> list[str]:
    head = ["| what | T5 | T6 | source |", "|---|---|---|---|"]
    return [*head, *(f"| {' | '.join(difference)} |" for difference in differences)]


def _chips() -> Iterator[Difference]:
    docs = _docs(import_module(f"{_HOME}.model"), "Chip")
    for name, doc in docs.items():
        t5, t6 = getattr(T5, name), getattr(T6, name)
        if t5 != t6 and name != "name":
            yield Difference(
                f"`{name}`: {_sentence(doc)}", str(t5), str(t6), _source(doc, "chip/model.py", "")
            )


def _records(module: ModuleType) -> Iterator[Difference]:
    """Yields the attributes in which a block's two records differ."""
    where = f"chip/{module.__name__.rpartition('.')[2]}.py"
    general = _SOURCE.search((module.__doc__ or "").partition("\n")[0])
    for name, doc in _docs(module, type(module.T5).__name__).items():
        for key, t5, t6 in _differing(getattr(module.T5, name), getattr(module.T6, name)):
            label = f"`{name}`, {key}" if key else f"`{name}`"
            yield Difference(
                f"{label}: {_sentence(doc)}",
                t5,
                t6,
                _source(doc, where, general[1] if general else ""),
            )


def _docs(module: ModuleType, name: str) -> dict[str, str]:
    """Returns the attributes of a class with the docstrings that follow them in the source; an
    attribute without a docstring shares the next one."""
    tree = ast.parse(inspect.getsource(module))
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    names: list[str] = []
    docs: dict[str, str] = {}
    for node in _statements(found):
        target = _target(node)
        if target:
            names.append(target)
        elif names and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docs |= dict.fromkeys(names, " ".join(str(node.value.value).split()))
            names = []
    return docs


def _statements(found: ast.ClassDef) -> list[ast.stmt]:
    """Returns the statements that declare attributes: the class's own or those of `__init__`."""
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node.body
    return found.body


def _target(node: ast.stmt) -> str:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
        return node.targets[0].attr
    return ""


_SOURCE = re.compile(r"\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)(?=\W*$)")


def _sentence(doc: str) -> str:
    """Returns the first sentence of a docstring, without its source."""
    return re.split(r"(?<=[.:;]) ", _SOURCE.sub("", doc))[0].rstrip(".:;")


def _source(doc: str, where: str, general: str) -> str:
    """Returns the file of a fact, and the source that its docstring ends with or a general one."""
    said = _SOURCE.search(doc)
    source = said[1] if said and re.search(r"[._]\w", said[1]) else general
    return f"{where}: {source}" if source else where


def _differing(t5: object, t6: object) -> Iterator[tuple[str, str, str]]:
    """Yields the key (empty outside a mapping) and both values as text, where they differ."""
    if isinstance(t5, Mapping) and isinstance(t6, Mapping):
        for key in dict.fromkeys((*t5, *t6)):
            for _, left, right in _differing(t5.get(key), t6.get(key)):
                yield getattr(key, "name", str(key)), left, right
    elif t5 != t6:
        yield "", _words(t5, t6), _words(t6, t5)


def _words(value: object, other: object) -> str:
    """Returns a value as text; of a series of fields, only those that the other chip lacks."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Field):
        top = value.shift + value.width - 1
        return f"{value.name}[{top}:{value.shift}]" if value.width > 1 else f"{value.name}[{top}]"
    if hasattr(value, "_asdict"):
        return str(value.name) if hasattr(value, "name") else " ".join(map(str, value))  # type: ignore[call-overload]
    if isinstance(value, tuple):
        shared = set(other) if isinstance(other, tuple) and isinstance(value[0], Field) else set()
        return ", ".join(_words(item, None) for item in value if item not in shared) or "-"
    if isinstance(value, str):
        return f"`{value}`" if value else "none"
    return "-" if value is None else str(value)


def _dump() -> Iterator[Difference]:
    """Yields how many registers and indirect registers a dump reads, where the numbers differ."""
    for table in ("reg_dump",):
        t5, t6 = (
            _in_parts([words for _, words in ranges], "range")
            for ranges in (T5.ranges(table), T6.ranges(table))
        )
        yield Difference(table.upper(), t5, t6, "chip/ranges: cxgb4_ethtool.c, t4_hw.c")
    for group in INDIRECT_GROUPS:
        t5, t6 = (_indirect(chip, group) for chip in (T5, T6))
        if t5 != t6:
            yield Difference(f"indirect: {group}", t5, t6, "chip/ranges/indirect.csv")


def _indirect(chip: Chip, group: str) -> str:
    records = chip.indirect(group)
    return _in_parts([record.words for record in records], "record") if records else "-"


def _in_parts(words: Sequence[int], part: str) -> str:
    return f"{counted(sum(words), 'word')} in {counted(len(words), part)}"


def _by_name(chip: Chip) -> dict[tuple[str, str], Register]:
    """Returns a chip's registers by space and name; if several share a name, the first."""
    found: dict[tuple[str, str], Register] = {}
    for register in chip.r:
        found.setdefault((register.space, register.name), register)
    return found


def _register_counts() -> list[str]:
    """Counts names in each block and indirect space: shared, on one chip, with different fields."""
    t5, t6 = _by_name(T5), _by_name(T6)
    counts: dict[str, list[int]] = {}
    for key in {*t5, *t6}:
        left, right = t5.get(key), t6.get(key)
        block = (left or right).block if key[0] == BAR0 else f"{key[0]} (indirect)"  # type: ignore[union-attr]
        row = counts.setdefault(block, [0, 0, 0, 0])
        row[0 if left and right else 1 if left else 2] += 1
        row[3] += bool(left and right and left.fields != right.fields)
    head = [
        "| block | both | only T5 | only T6 | both, with different fields |",
        "|---|---|---|---|---|",
    ]
    return head + [
        f"| {block} | {' | '.join(map(str, counts[block]))} |" for block in sorted(counts)
    ]


def _own(chip: Chip, other: Chip) -> list[str]:
    lines = ["| register | offset | block | source |", "|---|---|---|---|"]
    for register in chip.r:
        if (
            register.space == BAR0
            and register.source != "reg_defs"
            and register.name not in other.r
        ):
            array = f" x{register.count}" if register.count > 1 else ""
            lines.append(
                f"| {register.name}{array} | {int(register):#x} | {register.block} |"
                f" {register.source} |"
            )
    return lines


def _moved() -> list[str]:
    """Returns the registers of BAR0 whose offset differs between the chips."""
    t5, t6 = _by_name(T5), _by_name(T6)
    lines = ["| register | T5 | T6 | source |", "|---|---|---|---|"]
    for key in sorted(t5.keys() & t6.keys()):
        left, right = t5[key], t6[key]
        if key[0] == BAR0 and int(left) != int(right) and left.source != "reg_defs":
            lines.append(f"| {left.name} | {int(left):#x} | {int(right):#x} | {left.source} |")
    return lines


def _misplaced() -> list[str]:
    lines = ["| register | chip | |", "|---|---|---|"]
    return lines + [
        f"| {row['register']} | {row['chips'].upper()} | {row['note']} |"
        for row in table_rows("registers", "linux_absent")
        if len(row["chips"].split()) == 1 and not row["note"].endswith("only")
    ]


def _elsewhere() -> list[str]:
    lines = ["| field | register | chip | where it has it |", "|---|---|---|---|"]
    return lines + [
        f"| {row['linux']} | {row['register']} | {row['chips'].upper()} | {row['note']} |"
        for row in table_rows("registers", "linux_elsewhere")
    ]
