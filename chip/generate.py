"""`python -m vmcoredd.chip.generate [--check]`: what is made from the tables, for C and for people.

Writes `chip/chip.h`, `docs/registers.md`, `docs/registers-indirect.md` and `docs/t5-vs-t6.md`. With
`--check` it writes nothing, names the stale files, and exits with 1 if there are any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

from vmcoredd.chip import BAR0, T5, T6, Chip, Register, differences
from vmcoredd.chip import register as vocabulary

ROOT = Path(__file__).resolve().parent.parent
CHIPS = (T5, T6)
NOTE = "Made by `python -m vmcoredd.chip.generate` from the tables in chip/registers/; do not edit."
ACTING = ("rs", "index", "data", "request", "strobe", "window")
"""Accesses that do more than store: C code has to know these registers, and their fields."""

Pair = tuple[Register | None, Register | None]


def described(chip: Chip) -> list[Register]:
    """The registers of BAR0 that Linux names, or that do not just store; aliases are left out."""
    return [
        each
        for each in chip.r
        if each.space == BAR0 and (each.source != "reg_defs" or each.access != "rw" or each.reset)
    ]


def place(each: Register) -> tuple[object, ...]:
    """What has to be the same for one line of C."""
    return int(each), each.name


def meaning(each: Register) -> tuple[object, ...]:
    """What has to be the same for one row of a page."""
    return int(each), each.name, each.fields, each.count, each.access, each.reset


def pairs(
    registers: Iterable[list[Register]], same: Callable[[Register], tuple[object, ...]]
) -> list[Pair]:
    """The registers of both chips side by side where they are the same; by offset."""
    t5, t6 = ({same(each): each for each in chip} for chip in registers)
    return [(t5.get(key), t6.get(key)) for key in sorted({*t5, *t6})]


def header() -> str:
    """Registers where an access acts, and their fields' masks, in a form that cdef() takes."""
    acting = (
        [each for each in described(chip) if each.access in ACTING and each is chip.r[each.name]]
        for chip in CHIPS
    )
    lines = [line for pair in pairs(acting, place) for line in _defines(*pair)]
    return "\n".join([f"/* {NOTE} */", "", *lines]) + "\n"


def _defines(t5: Register | None, t6: Register | None) -> Iterator[str]:
    chips = [(name, each) for name, each in (("T5_", t5), ("T6_", t6)) if each is not None]
    prefix = "" if len(chips) == 2 else chips[0][0]
    first = chips[0][1]
    yield f"#define {prefix}{first.name} {int(first):#07x}"
    if len(chips) == 2 and chips[0][1].fields == chips[1][1].fields:
        chips = [("", first)]
    for chip, each in chips:
        for field in each.fields:
            yield f"#define {chip}{each.name}_{field.name.upper()} {field.mask:#010x}"


def page() -> str:
    """The registers of BAR0 that Linux names, or that do not just store, by block."""
    rows = [
        (first.block, f"| {first.name} | {_places(t5, t6)} | {_row(first)} |")
        for t5, t6 in pairs(map(described, CHIPS), meaning)
        for first in (t5 or t6,)
        if first is not None
    ]
    head = "| register | T5 | T6 | access | reset | fields | from |\n|---|---|---|---|---|---|---|"
    return _page("Registers", vocabulary.__doc__ or "", head, rows)


def indirect_page() -> str:
    """The registers behind index ports, by space."""
    both = ([each for each in chip.r if each.space != BAR0] for chip in CHIPS)
    rows = [
        (first.space, f"| {first.name} | {_places(t5, t6)} | {_fields(first)} | {first.source} |")
        for t5, t6 in pairs(both, meaning)
        for first in (t5 or t6,)
        if first is not None
    ]
    head = "| register | T5 | T6 | fields | from |\n|---|---|---|---|---|"
    text = "Words reached through an index port; the CIM's and PCI's indices are byte addresses."
    return _page("Registers behind index ports", text, head, rows)


def _page(title: str, text: str, head: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"# {title}", "", NOTE, "", text.strip()]
    for block, group in groupby(sorted(rows, key=lambda row: row[0]), key=lambda row: row[0]):
        lines += ["", f"## {block}", "", head, *(row for _, row in group)]
    return "\n".join(lines) + "\n"


def _places(t5: Register | None, t6: Register | None) -> str:
    return " | ".join("" if each is None else _place(each) for each in (t5, t6))


def _place(each: Register) -> str:
    array = f" x{each.count} +{each.stride:#x}" if each.count > 1 else ""
    return f"{int(each):#x}{array}"


def _row(each: Register) -> str:
    reset = f"{each.reset:#x} ({each.reset_source})" if each.reset_source else ""
    other = f", {each.chelsio_name} there" if each.chelsio_name != each.name else ""
    return f"{each.access} | {reset} | {_fields(each)} | {each.source}{other} {each.note}".rstrip()


def _fields(each: Register) -> str:
    return " ".join(
        f"{field.name}[{field.shift + field.width - 1}:{field.shift}]"
        if field.width > 1
        else f"{field.name}[{field.shift}]"
        for field in each.fields
    )


def differences_page() -> str:
    """The differences between the chips, by block."""
    return (
        "\n".join(["# T5 and T6", "", NOTE.replace("registers/", ""), "", *differences.page()])
        + "\n"
    )


GENERATED = {
    ROOT / "chip" / "chip.h": header,
    ROOT / "docs" / "registers.md": page,
    ROOT / "docs" / "registers-indirect.md": indirect_page,
    ROOT / "docs" / "t5-vs-t6.md": differences_page,
}


def stale() -> list[Path]:
    """The generated files that are missing or not as they should be."""
    return [
        path for path, make in GENERATED.items() if not path.exists() or path.read_text() != make()
    ]


def main(arguments: list[str]) -> int:
    """Write what is stale; with `--check`, only say so. Returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m vmcoredd.chip.generate [--check]", file=sys.stderr)
        return 2
    found = stale()
    for path in found:
        print(f"{'stale' if arguments else 'written'}: {path.relative_to(ROOT)}")
        if not arguments:
            path.write_text(GENERATED[path]())
    return 1 if arguments and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
