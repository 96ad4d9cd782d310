"""The page of a folder of rows: what failed, and a matrix of faults and cards for each kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any
from urllib.parse import quote

from vmcoredd.fleet.sweep.cells import HEALTHY, NO_KERNEL
from vmcoredd.fleet.sweep.rows import MARK, Result, Row
from vmcoredd.plural import counted

SIGNS = {Result.PASS: "✓", Result.FAIL: "✗", Result.ERROR: "!", Result.SKIP: "-"}
MOST_TROUBLES = 500
"""Rows of the list of what failed."""


def page(rows: Iterable[Row]) -> str:
    """Returns the HTML. All that comes from outside is escaped, and no script runs."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["url"] = lambda name: f"./{quote(name)}"
    environment.globals["counted"] = counted
    known = sorted(rows, key=lambda row: (row.cell.kernel != NO_KERNEL, row.cell.kernel))
    troubles = [row for row in known if row.result in (Result.FAIL, Result.ERROR)]
    template = environment.from_string(_part("page.html.j2"))
    return template.render(
        mark=MARK,
        style=_part("page.css"),
        rows=known,
        counts={result: sum(row.result is result for row in known) for result in Result},
        found=sum(bool(row.facts.found) for row in known),
        troubles=troubles[:MOST_TROUBLES],
        more=len(troubles) - MOST_TROUBLES,
        kernels=[*_kernels(known)],
        signs=SIGNS,
        healthy=HEALTHY,
        no_kernel=NO_KERNEL,
    )


def _kernels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yields each kernel with its cards, and each fault with a list of rows for each card."""
    for kernel in dict.fromkeys(row.cell.kernel for row in rows):
        of_kernel = [row for row in rows if row.cell.kernel == kernel]
        by_place: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in sorted(of_kernel, key=lambda row: row.cell.seed):
            by_place[row.cell.fault, row.cell.card].append(row)
        cards = sorted({row.cell.card for row in of_kernel})
        faults = sorted(
            {row.cell.fault for row in of_kernel}, key=lambda one: (one != HEALTHY, one)
        )
        lines = [(fault, [by_place.get((fault, card), []) for card in cards]) for fault in faults]
        releases = sorted({row.facts.release for row in of_kernel} - {""})
        yield {"name": kernel, "releases": releases, "cards": cards, "lines": lines}


def _part(name: str) -> str:
    return resources.files("vmcoredd.fleet.sweep").joinpath(name).read_text("utf-8")
