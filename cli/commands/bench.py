"""`vmcoredd bench`: how fast it all is, as ratios measured in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.part import Part
from cli.output import emit_json, err, out, table
from cli.progress import preparing

if TYPE_CHECKING:
    from bench.measure import Series
    from bench.results import Results, Row

EXAMPLES = """Examples: `vmcoredd bench`; `vmcoredd bench --part dump`;
`vmcoredd bench --full -o docs/plots`"""
RESULTS = "bench.json"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(bench)


def bench(
    full: Annotated[
        bool,
        typer.Option("--full/--quick", help="Measure whole what --quick samples; takes long."),
    ] = False,
    guest: Annotated[
        bool | None,
        typer.Option("--guest/--no-guest", help="The guest too; with --full by default."),
    ] = None,
    part: Annotated[
        list[Part] | None,
        typer.Option("--part", help="Only this part; may be given several times."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"A folder for the plots and {RESULTS}."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure dumps, accesses, files and many adapters; every figure is a ratio of this run.

    Compared runs take turns; a figure is the median of several, its spread the lowest and the
    highest. Other work on the machine shows in the spread.
    """
    from bench import machine, plots
    from bench.suite import Wanted, run

    if output:
        plots.check()
    before = machine.describe()
    with_guest = full if guest is None else guest
    parts = part or [one for one in Part if one is not Part.GUEST or with_guest]
    with preparing() as progress:
        results = run(Wanted(full, parts), lambda what: progress(what, None))
    record = _record(results, before, full)
    if output:
        _write(results, record, output)
    if json:
        emit_json(record)
        return
    _show(results, before)


def _record(results: Results, machine: dict[str, object], full: bool) -> dict[str, Any]:
    """The whole run for programs; units stand beside the figures."""
    curves = {
        plot: {
            name: {str(at): series.values for at, series in curve.items()}
            for name, curve in found.items()
        }
        for plot, found in results.curves.items()
    }
    return {
        "machine": machine,
        "full": full,
        "rows": [row.record() for row in results.rows],
        "curves": curves,
        "skipped": results.skipped,
    }


def _write(results: Results, record: dict[str, Any], folder: Path) -> None:
    import json

    from bench import plots

    files = plots.draw(results, folder)
    (folder / RESULTS).write_text(json.dumps(record, indent=1) + "\n")
    err.print(f"{folder}: {', '.join(path.name for path in files)}, {RESULTS}", markup=False)


def _show(results: Results, machine: dict[str, object]) -> None:
    out.print(", ".join(f"{name} {value}" for name, value in machine.items()), markup=False)
    for group in dict.fromkeys(row.group for row in results.rows):
        rows = [_cells(row) for row in results.rows if row.group == group]
        table(group, ("what", "median", "spread", "ratio", "spread", "to", "target", "note"), rows)
    for part, why in results.skipped.items():
        out.print(f"not measured: {part}: {why}", markup=False)


def _cells(row: Row) -> list[object]:
    verdict = f"{row.target}: {row.verdict}" if row.target else ""
    ratio = (f"{row.ratio.median:,.3g}", _spread(row.ratio)) if row.ratio else ("", "")
    figure = f"{row.figure.median:,.3g} {row.unit}"
    return [row.what, figure, _spread(row.figure), *ratio, row.against, verdict, row.note]


def _spread(series: Series) -> str:
    return f"{series.low:,.3g} to {series.high:,.3g}"
