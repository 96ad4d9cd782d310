"""The generated parts of docs/reference/faults.md; `make faults` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import emu
from vmcoredd.emu.silicon.model import fault_name
from vmcoredd.plural import counted

from .cases import CARDS, HEALTHY, IN_GUEST, Case, Phase, cases
from .ours import COMPLETE, met
from .rows import Row

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/faults.md"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str, known: Mapping[Case, Row]) -> str:
    """Returns the page with its generated parts made anew from the rows."""
    table = Table(known)
    return _PART.sub(lambda part: part[1] + "\n".join(PARTS[part[2]](table)) + f"\n{part[3]}", page)


def planned(known: Mapping[Case, Row]) -> Iterator[Case]:
    """Yields the cases in a guest that the rows should have."""
    for chip in CARDS:
        yield from cases(chip, met(chip, known))


@dataclass(frozen=True)
class Table:
    """The rows, and how they are shown."""

    known: Mapping[Case, Row]

    def faults(self, *, reports: bool) -> list[str]:
        """The faults with rows, in the order of the silicon's files."""
        found = dict.fromkeys(case.fault for case in self.known if case.fault)
        return [fault for fault in found if emu.faults()[fault_name(fault)].reports == reports]

    def rows_of(self, fault: str, phase: Phase) -> list[Row]:
        """A case's row on each card that has one."""
        cases = (Case(chip, fault, phase) for chip in CARDS)
        return [self.known[case] for case in cases if case in self.known]

    def cell(self, fault: str, phase: Phase) -> str:
        """What came of a fault in a phase: on both cards alike, or on each."""
        return "; ".join(_by_chip({row.chip: row.outcome for row in self.rows_of(fault, phase)}))

    def words(self, fault: str, phase: Phase) -> list[str]:
        """What the kernel said that it does not say with a healthy card."""
        usual = {row.chip: row.said for row in self.rows_of(HEALTHY, phase)}
        lines: dict[str, dict[str, str]] = {}
        for row in self.rows_of(fault, phase):
            for line in row.said:
                if line not in usual.get(row.chip, ()):
                    lines.setdefault(line, {})[row.chip] = f"`{line}`"
        tried = len(self.rows_of(fault, phase))
        return [text for of_chips in lines.values() for text in _by_chip(of_chips, tried)]


def _by_chip(texts: Mapping[str, str], tried: int = 0) -> list[str]:
    """Returns one text if all chips that were `tried` have it, else each with its chip."""
    if len({*texts.values()}) == 1 and len(texts) >= tried:
        return [*texts.values()][:1]
    return [f"{chip}: {text}" for chip, text in texts.items()]


def acting(table: Table) -> Iterator[str]:
    """The faults that change what an access does."""
    yield _row(["fault", *IN_GUEST, "our driver"])
    yield _row(["---"] * 6)
    yield _line(table, HEALTHY)
    for fault in table.faults(reports=False):
        yield _line(table, fault)


def _line(table: Table, fault: str) -> str:
    *guest, dump, ours = (table.cell(fault, phase) for phase in (*IN_GUEST, Phase.OURS))
    cells = [*guest, "as ours" if dump and dump == ours != COMPLETE else dump, ours]
    return _row([f"`{fault}`" if fault else "none", *cells])


def reported(table: Table) -> Iterator[str]:
    """The faults that only report, those that end alike together."""
    yield _row(["probe", "traffic", "faults"])
    yield _row(["---"] * 3)
    groups: dict[tuple[str, ...], list[str]] = {}
    for fault in table.faults(reports=True):
        cells = tuple(table.cell(fault, phase) for phase in (Phase.PROBE, Phase.TRAFFIC))
        groups.setdefault(cells, []).append(f"`{fault}`")
    for cells, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield _row([*cells, ", ".join(names)])


def words(table: Table) -> Iterator[str]:
    """What the kernel said."""
    yield _row(["fault", "when", "the kernel says"])
    yield _row(["---"] * 3)
    for fault in (*table.faults(reports=False), *table.faults(reports=True)):
        for phase in IN_GUEST:
            if found := table.words(fault, phase):
                yield _row([f"`{fault}`", phase, "<br>".join(found)])


def measured(table: Table) -> Iterator[str]:
    """With which kernel, when, how long it took, and how much is left."""
    found = [row for row in table.known.values() if row.phase is not Phase.OURS]
    kernels = ", ".join(sorted({row.kernel for row in found}))
    first, last = min(row.date for row in found), max(row.date for row in found)
    when = first if first == last else f"{first} to {last}"
    spent = counted(round(sum(row.seconds for row in found) / 60), "minute")
    rows = counted(len(found), "row")
    yield f"Linux {kernels}, Debian's own build; measured {when}: {rows} in a guest without KVM,"
    yield f"in which the driver spent {spent}, besides what brought it so far."


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


PARTS = {"measured": measured, "acting": acting, "reported": reported, "words": words}
