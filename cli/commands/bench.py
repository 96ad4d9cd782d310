"""`vmcoredd bench`: measures speed as ratios within one run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.bench import Part
from vmcoredd.cli.exit_codes import Exit, report
from vmcoredd.cli.options import Json, chosen
from vmcoredd.cli.output import emit_json, envelope, err, out, preparing, table

if TYPE_CHECKING:
    from vmcoredd.bench.measure import Results, Row, Series

EXAMPLES = """Examples: `vmcoredd bench`; `vmcoredd bench --part dump`;
`vmcoredd bench --full -o docs/explanation/plots`"""
IN_GUESTS = (Part.GUEST, Part.TRAFFIC)
"""Only with `--guest` or `--full`, unless `--part` names them."""
RESULTS, TABLES = "bench.json", "bench.md"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(bench)


def _parts(incomplete: str) -> list[str]:
    return [part for part in Part if part.startswith(incomplete)]


def bench(
    full: Annotated[
        bool,
        typer.Option("--full/--quick", help="Measure everything, or only samples."),
    ] = False,
    guest: Annotated[
        bool | None,
        typer.Option(
            "--guest/--no-guest", help="Measure in a guest too; by default only with --full."
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            metavar="PART",
            help=f"Measure only this part: {', '.join(Part)}; repeatable.",
            callback=chosen("--part", lambda: Part),
            autocompletion=_parts,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=f"A folder for plots, {RESULTS} and {TABLES}."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure dumps, accesses, files and many adapters, as ratios within this run.

    Alternates the runs that it compares. A figure is the median of several runs; its spread is
    from the lowest to the highest. Other load on the machine widens the spread.
    """
    from vmcoredd.bench import machine, plots
    from vmcoredd.bench.suite import Wanted, run

    if output:
        plots.check()
    before = machine.describe()
    with_guest = full if guest is None else guest
    default = [one for one in Part if with_guest or one not in IN_GUESTS]
    parts = [Part(one) for one in part] if part else default
    with preparing() as progress:
        results = run(Wanted(full, parts), lambda what: progress(what, None))
    record = _record(results, before, full)
    if output:
        _write(results, record, output)
    if json:
        emit_json("bench", record)
    else:
        _show(results, before)
    _check_measured(results, parts)


def _check_measured(results: Results, parts: list[Part]) -> None:
    """Ends the command unless all wanted parts were measured."""
    failed = [part for part in parts if part in results.skipped]
    for part in failed:
        report(results.skipped[part], f"--part {part}")
    if failed:
        raise typer.Exit(Exit.INCOMPLETE if len(failed) < len(parts) else Exit.UNAVAILABLE)


def _record(results: Results, machine: dict[str, object], full: bool) -> dict[str, Any]:
    """Returns the whole run for programs; each figure has its unit."""
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

    from vmcoredd.bench import plots

    files = plots.draw(results, folder)
    (folder / RESULTS).write_text(json.dumps(envelope("bench", record), indent=1) + "\n")
    (folder / TABLES).write_text(_markdown(results, record))
    names = [*(path.name for path in files), RESULTS, TABLES]
    err.print(f"{folder}: {', '.join(names)}", markup=False)


COLUMNS = ("what", "median", "spread", "ratio", "spread", "to", "target", "note")
WIDE = 130
"""Columns of a terminal that all of them fit."""
NARROW = (0, 1, 3, 6)
"""Those that fit any terminal."""


def _show(results: Results, machine: dict[str, object]) -> None:
    out.print(_machine(machine), markup=False)
    shown = range(len(COLUMNS)) if out.width >= WIDE else NARROW
    for group, rows in _groups(results):
        table(group, [COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows])
    if shown is NARROW:
        out.print(f"Spreads, bases of ratios, notes: --json, -o, or a terminal of {WIDE} columns")
    for part, why in results.skipped.items():
        out.print(f"not measured: {part}: {why}", markup=False)
    for row in results.rows:
        if row.ratio and row.verdict == "not met":
            ratio = f"{_number(row.ratio.median)}, wanted {row.target}"
            out.print(f"not met: {row.what}: {ratio}", style="bold red", markup=False)


def _markdown(results: Results, record: dict[str, Any]) -> str:
    """Returns the same tables in Markdown."""
    form = "full" if record["full"] else "quick"
    lines = ["# One run of `vmcoredd bench`", "", f"{_machine(record['machine'])}; {form} form."]
    for group, rows in _groups(results):
        lines += ["", f"## {group.capitalize()}", ""]
        lines += [f"| {' | '.join(map(str, row))} |" for row in (COLUMNS, ["---"] * 8, *rows)]
    skipped = [f"Not measured: {part}: {why}." for part, why in results.skipped.items()]
    return "\n".join([*lines, "", *skipped]).rstrip() + "\n"


def _machine(machine: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def _groups(results: Results) -> Iterator[tuple[str, list[list[object]]]]:
    for group in dict.fromkeys(row.group for row in results.rows):
        yield group, [_cells(row) for row in results.rows if row.group == group]


def _cells(row: Row) -> list[object]:
    verdict = f"{row.target}: {row.verdict}" if row.target else ""
    ratio = (_number(row.ratio.median), _spread(row.ratio)) if row.ratio else ("", "")
    figure = f"{_number(row.figure.median)} {row.unit}"
    return [row.what, figure, _spread(row.figure), *ratio, row.against, verdict, row.note]


def _spread(series: Series) -> str:
    return f"{_number(series.low)} to {_number(series.high)}"


def _number(value: float) -> str:
    """Formats three significant digits, never with an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
