"""Sweeps over cards with little memory, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cliruns import SMALL_CARD

from vmcoredd.fleet.sweep.cells import HEALTHY, Cell, all_cells
from vmcoredd.fleet.sweep.jobs import Settings, Submit
from vmcoredd.fleet.sweep.pool import pool
from vmcoredd.fleet.sweep.rows import Facts, Folder, Result, Row
from vmcoredd.fleet.sweep.sweeping import Plan, plan, swept

FAULTS = (HEALTHY, "parity-cim", "device-gone", "parity-mc1", "firmware-crash", "server-dies")


def small_card(folder: Path) -> str:
    """A card's TOML file."""
    path = folder / "small.toml"
    path.write_text(SMALL_CARD)
    return str(path)


def small_cells(
    folder: Path, faults: Iterable[str] = FAULTS, seeds: Iterable[int] = (0,)
) -> list[Cell]:
    """Cells of that card, without a guest."""
    return all_cells([small_card(folder)], ["none"], faults, seeds)


def planned(cells: Sequence[Cell], folder: Folder, **settings: Any) -> Plan:
    """A plan of cells without guests; makes the folder."""
    folder.open()
    return plan(cells, Settings(**settings), folder, {})


def rows(plan: Plan, folder: Folder, submit: Submit) -> dict[Cell, Row]:
    """Tries what is to be tried."""
    with closing(swept(plan, folder, submit)) as coming:
        return {row.cell: row for row in coming}


def pooled(
    cells: Sequence[Cell], folder: Folder, jobs: int = 1, **settings: Any
) -> dict[Cell, Row]:
    """The rows that a pool makes of cells, those before too."""
    made = planned(cells, folder, **settings)
    with pool(jobs) as submit:
        return dict(made.done) | rows(made, folder, submit)


def facts(rows: Iterable[Row]) -> dict[str, Facts]:
    """What is known of the cells, by their names: it does not depend on who has tried them."""
    return {row.cell.id: row.facts for row in rows}


def made(cell: Cell, result: Result = Result.PASS, **more: Any) -> Row:
    """A row as if it had been made."""
    names = {field.name for field in dataclasses.fields(Facts)}
    about = {name: more.pop(name) for name in [*more] if name in names}
    return Row(cell, Facts(result, **about), **more)
