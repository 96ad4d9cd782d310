"""`vmcoredd sweep`: tries every combination of cards, kernels, faults and seeds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli import sweep_options
from vmcoredd.cli.exit_codes import Exit, failure_of, report, writing
from vmcoredd.cli.guest_options import DriverOrNot, memory_size
from vmcoredd.cli.ktap import OF_GUEST
from vmcoredd.cli.options import (
    CARD_HELP,
    CardWires,
    Json,
    card_lists,
    fault_lists,
    kernel_lists,
)
from vmcoredd.cli.output import emit_json, err, out, preparing, table, visible
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.fleet.sweep.cells import Cell
    from vmcoredd.fleet.sweep.jobs import Settings, Submit
    from vmcoredd.fleet.sweep.rows import Folder, Row
    from vmcoredd.fleet.sweep.sweeping import Look, Plan

EXAMPLES = """Examples: `vmcoredd sweep --card all --fault all -o rows`;
`vmcoredd sweep --card t62100-cr --kernel 6.1,6.12 --fault 'parity-*' --seed 0..9 -o rows`;
`vmcoredd sweep --kernel . --driver --script test.sh --fault all --shard 3/16 -o rows`"""
SHOWN = 20
"""Cells that failed, in the summary; the page has all."""
TOLD_SECONDS = 60.0
"""Between two lines of progress where there is no terminal."""
HEADLINES = {"pass": "green", "fail": "bold red", "error": "yellow", "skip": "dim"}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(sweep)


def sweep(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder of the rows.")
    ],
    card: Annotated[
        list[str],
        typer.Option(
            metavar="CARD",
            help=f"{CARD_HELP}, a pattern, or all; repeatable, or with commas.",
            autocompletion=card_lists,
        ),
    ] = ["all"],  # noqa: B006 - never changed
    kernel: Annotated[
        list[str],
        typer.Option(
            metavar="KERNEL",
            help="none (our own driver, without a guest), a kernel as of `guest kdump`, with "
            "--script as of `guest run`; repeatable, or with commas.",
            autocompletion=kernel_lists,
        ),
    ] = ["none"],  # noqa: B006
    fault: Annotated[
        list[str],
        typer.Option(
            metavar="FAULT",
            help="healthy, a fault as of `emulate`, a pattern such as 'parity-*', or all; "
            "repeatable, or with commas.",
            autocompletion=fault_lists,
        ),
    ] = ["healthy"],  # noqa: B006
    seed: Annotated[
        list[str],
        typer.Option(metavar="SEED", help="Numbers, or ranges such as 0..9; repeatable."),
    ] = ["0"],  # noqa: B006
    script: Annotated[
        Path | None,
        typer.Option(
            help="A script that guests run, as of `guest run`. Without it they crash, and their "
            "crash kernel dumps the card.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    driver: DriverOrNot = None,
    wire: CardWires = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="A guest's memory.", callback=memory_size),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="The time for a cell; one that hangs is ended.  [default: 1800 with a guest, "
            "else 300]",
            min=1,
        ),
    ] = None,
    keep_vmcore: Annotated[
        bool, typer.Option("--keep-vmcore", help="Keep each cell's vmcore: its notes, no memory.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="N/OF", help="Try only a part of the cells: 3/16, 1/16 is the first."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Cells at once.  [default: one for each processor, as far as the memory goes]",
            min=1,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a Dask cluster do it: tcp://HOST:8786, or the scheduler's file.",
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Try what is done already, too.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML.")
    ] = None,
    ktap: Annotated[
        bool,
        typer.Option(
            "--ktap",
            help="Print KTAP instead of a summary. The exit code is 0, 1 if a cell failed, 125 if "
            "one could not be tried.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Try every combination of cards, kernels, faults and seeds, here or on a cluster.

    Writes a row for each, and index.html, a matrix of all rows in the folder. The same command goes
    on where it was interrupted: what is done is not tried again unless the card, the script, the
    kernel or vmcoredd has changed. The exit code is 7 if a cell failed, 5 if one could not be
    tried.
    """
    from vmcoredd.fleet.sweep.cells import NO_KERNEL, all_cells
    from vmcoredd.fleet.sweep.cells import shard as part
    from vmcoredd.fleet.sweep.rows import Folder

    if ktap and json:
        raise typer.BadParameter("give one of the two, not both", param_hint="--ktap, --json")
    kernels = sweep_options.kernels(kernel, script=script is not None)
    cards, faults = sweep_options.cards(card), sweep_options.faults(fault)
    numbers = sweep_options.seeds(seed)
    total = len(kernels) * len(cards) * len(faults) * len(numbers)
    if total > sweep_options.MOST_CELLS:
        most = f"at most {sweep_options.MOST_CELLS:,}; sweep a part of them"
        raise typer.BadParameter(f"that is {counted(total, 'cell')}: {most}")
    guests = [name for name in kernels if name != NO_KERNEL]
    _check_script(script, guests, driver=driver, wire=wire)
    number, of = sweep_options.shard(shard)
    cells = part(all_cells(cards, kernels, faults, numbers), number, of)
    if junit:
        _check_junit(junit)
    folder = Folder(output)
    with writing(output):
        folder.open()
        settings = _settings(folder, script, driver, wire, memory, deadline, keep_vmcore)
    with _untried_if_unfit(ktap):
        planned = _planned(cells, settings, folder, guests, again=again, here=scheduler is None)
    rows = _rows(planned, folder, jobs, scheduler)
    _report(rows, planned, folder, junit, ktap=ktap, json=json)


@contextmanager
def _untried_if_unfit(ktap: bool) -> Iterator[None]:
    """Ends as `guest run --ktap` does where a kernel is not built, or lacks something."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if not ktap or failure is None or failure.name != OF_GUEST:
            raise
        report(error)
        raise typer.Exit(Exit.UNTRIED) from error


def _check_script(
    script: Path | None, guests: Sequence[str], *, driver: bool | None, wire: list[str] | None
) -> None:
    if script and not guests:
        raise typer.BadParameter("it runs in a guest: add --kernel 6.1", param_hint="--script")
    for option, value in (("--driver", driver is not None), ("--wire", bool(wire))):
        if value and not script:
            raise typer.BadParameter("it needs --script", param_hint=option)


def _check_junit(path: Path) -> None:
    from vmcoredd import vmcore

    with writing(path):
        vmcore.check_output(path, force=True)


def _settings(
    folder: Folder,
    script: Path | None,
    driver: bool | None,
    wire: list[str] | None,
    memory: str | None,
    deadline: float | None,
    keep_vmcore: bool,
) -> Settings:
    """Returns how cells are tried; the script is copied beside the rows."""
    from vmcoredd.fleet.sweep.jobs import Settings

    name = ""
    if script:
        content = script.read_bytes()  # once, as it may be a pipe
        name = f"script-{hashlib.sha256(content).hexdigest()[:8]}-{script.name}"
        folder.write(name, content)
    wires = tuple(wire or ())
    return Settings(name, driver, wires, memory or "", keep_vmcore, deadline)


def _planned(
    cells: Sequence[Cell],
    settings: Settings,
    folder: Folder,
    guests: Sequence[str],
    *,
    again: bool,
    here: bool,
) -> Plan:
    """Returns what is to be done; what guests need is got first, where they are to run `here`."""
    from vmcoredd.fleet.sweep.sweeping import plan

    with preparing() as progress:
        contents = {name: _content(name, settings, here, progress) for name in guests}
    return plan(cells, settings, folder, contents, again=again)


def _content(
    name: str, settings: Settings, here: bool, progress: Callable[[str, float | None], None]
) -> str:
    """Returns a text that stands for a kernel; checks it, and gets what it needs."""
    from vmcoredd.fleet.sweep.sweeping import content_of
    from vmcoredd.qemu.kernel import DRIVER
    from vmcoredd.qemu.kernels import find_kernel, is_path
    from vmcoredd.qemu.prepare import prepare

    if here:
        dump = not settings.script
        found = prepare(name, progress, driver=settings.loads_driver(name), dump=dump).kernel
    elif is_path(name):
        found = find_kernel(name, progress)
    if not is_path(name):
        return name
    modules = [found.modules[DRIVER]] if DRIVER in found.modules else []
    return content_of([found.image, *modules])


def _rows(planned: Plan, folder: Folder, jobs: int | None, scheduler: str | None) -> list[Row]:
    """Tries what is to be tried; returns the rows of all cells, in their order."""
    from vmcoredd.fleet.sweep.sweeping import swept

    rows = dict(planned.done)
    if not planned.todo:
        return [rows[cell] for cell in planned.cells]
    try:
        with (
            _executor(planned, jobs, scheduler) as (submit, look),
            _progress(planned) as told,
            writing(folder.path),
            closing(swept(planned, folder, submit, look)) as coming,
        ):
            for row in coming:
                rows[row.cell] = row
                told(row)
    except BaseException:
        left = len(planned.cells) - len(rows)
        err.print(f"{counted(left, 'cell')} left; the same command goes on", markup=False)
        raise
    return [rows[cell] for cell in planned.cells]


@contextmanager
def _executor(
    planned: Plan, jobs: int | None, scheduler: str | None
) -> Iterator[tuple[Submit, Look]]:
    """Yields what submits jobs, and what looks whether anybody does them."""
    from vmcoredd.fleet.sweep import pool

    todo = planned.todo
    guests = any(cell.is_guest for cell in todo)
    before = f", {len(planned.done):,} done before" if planned.done else ""
    what = f"{counted(len(todo), 'cell')} to try{before}"
    if scheduler is None:
        at_once = min(jobs or pool.default_jobs(guests=guests), len(todo))
        err.print(f"{what}; {at_once} at once", markup=False)
        with pool.pool(at_once) as submit:
            yield submit, lambda: None
        return
    from vmcoredd.fleet.sweep.cluster import SECONDS_WITHOUT_WORKERS, cluster
    from vmcoredd.fleet.sweep.sweeping import watched

    with cluster(scheduler) as connected:
        err.print(f"{what}, by {scheduler}", markup=False)
        told: set[str] = set()

        def lacking() -> str:
            why = connected.lacking(guests=guests)
            if why and why not in told:
                told.add(why)
                err.print(f"waiting: {why}", markup=False)
            return why

        try:
            yield connected.submit, watched(lacking, SECONDS_WITHOUT_WORKERS)
        finally:
            connected.cancel()


@contextmanager
def _progress(planned: Plan) -> Iterator[Callable[[Row], None]]:
    """Shows how far a sweep is: a bar on a terminal, else a line each minute."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from vmcoredd.fleet.sweep.sweeping import counts

    rows: list[Row] = []
    last = began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bars:
        task = bars.add_task("", total=len(planned.todo))

        def told(row: Row) -> None:
            nonlocal last
            rows.append(row)
            said = ", ".join(f"{count} {result}" for result, count in counts(rows).items() if count)
            bars.update(task, completed=len(rows), description=said)
            now = time.monotonic()
            if not err.is_terminal and now - last > TOLD_SECONDS:
                last = now
                left = (now - began) / len(rows) * (len(planned.todo) - len(rows)) / 60
                line = f"{len(rows):,} of {len(planned.todo):,}: {said}; about {left:.0f} min left"
                err.print(line, markup=False)

        yield told


def _report(
    rows: Sequence[Row],
    planned: Plan,
    folder: Folder,
    junit: Path | None,
    *,
    ktap: bool,
    json: bool,
) -> None:
    """Writes the page and the JUnit XML, prints the results, and ends with the exit code."""
    from vmcoredd.fleet.sweep.page import page
    from vmcoredd.fleet.sweep.rows import PAGE, Result
    from vmcoredd.fleet.sweep.sweeping import counts

    with writing(folder.path):
        folder.write(PAGE, page(folder.rows()).encode(errors="backslashreplace"))
    if junit:
        _write_junit(junit, rows, folder)
    found = counts(rows)
    if ktap:
        from vmcoredd.cli.ktap import print_rows

        print_rows(rows, folder.path)
    elif json:
        emit_json("sweep", _record(rows, planned, folder))
    else:
        _show(rows, folder)
    failed, untried = found[Result.FAIL], found[Result.ERROR]
    codes = (Exit.FAILED, Exit.UNTRIED) if ktap else (Exit.FOUND, Exit.INCOMPLETE)
    if failed or untried:
        raise typer.Exit(codes[0] if failed else codes[1])


def _write_junit(path: Path, rows: Sequence[Row], folder: Folder) -> None:
    from vmcoredd import vmcore
    from vmcoredd.fleet.sweep.junit import junit

    text = junit(rows, str(folder.path))
    with (
        writing(path),
        vmcore.Output(path, force=True) as output,
        open(output.fileno(), "w", encoding="utf-8", closefd=False) as file,
    ):
        file.write(text)


def _record(rows: Sequence[Row], planned: Plan, folder: Folder) -> dict[str, Any]:
    from vmcoredd.fleet.sweep.rows import PAGE
    from vmcoredd.fleet.sweep.sweeping import counts

    return {
        "folder": str(folder.path),
        "page": str(folder.path / PAGE),
        "cells": len(rows),
        "tried": len(planned.todo),
        "results": {str(result): count for result, count in counts(rows).items()},
        "rows": [row.json() for row in rows],
    }


def _show(rows: Sequence[Row], folder: Folder) -> None:
    from vmcoredd.fleet.sweep.rows import PAGE, Result
    from vmcoredd.fleet.sweep.sweeping import counts

    bad = [row for row in rows if row.result in (Result.FAIL, Result.ERROR)]
    for row in bad[:SHOWN]:
        out.say(f"{row.result}  {row.cell.id}: {row.facts.why}", HEADLINES[row.result])
    if bad[SHOWN:]:
        out.say(f"and {counted(len(bad) - SHOWN, 'more cell')}")
    lines = []
    for kernel, card in dict.fromkeys((row.cell.kernel, row.cell.card) for row in rows):
        some = [row for row in rows if (row.cell.kernel, row.cell.card) == (kernel, card)]
        found = sum(bool(row.facts.found) for row in some)
        lines.append((kernel, card, *counts(some).values(), found))
    if lines:
        table("", ("kernel", "card", *map(str, Result), "found"), lines)
    out.print(visible(f"{folder.path / PAGE}: {counted(len(rows), 'cell')}"), markup=False)
