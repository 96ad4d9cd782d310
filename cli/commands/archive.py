"""`vmcoredd archive`: keeps what many dumps say, and answers questions about all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, writing
from vmcoredd.cli.exit_codes import report as report_error
from vmcoredd.cli.options import Json, did_you_mean
from vmcoredd.cli.output import emit_json, err, out, preparing, size
from vmcoredd.plural import agreeing, counted

if TYPE_CHECKING:
    from vmcoredd.fleet.archive import Outcome, Outlier, Outliers

app = typer.Typer(
    no_args_is_help=True,
    help="Keep what many dumps say in a folder, and answer questions about all of them.",
)
ROWS_MOST = 10_000
"""Of a table or of JSON."""
MESSAGES_MOST = 20
"""Lines about files of which nothing could be read."""
LISTED_MOST = 1000
"""Files that JSON lists."""
REGISTERS_MOST = 6
"""Of each card on the screen."""
PAGE, RECORD = "index.html", "findings.json"
In = Annotated[Path, typer.Option("--in", metavar="ARCHIVE", help="The folder of the archive.")]


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="archive")


@app.command(
    epilog="Examples: `vmcoredd archive add /var/crash --into fleet` - every dump below a folder; "
    "`vmcoredd archive add vmcore --into fleet --again` - read once more, by the rules of today"
)
def add(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="vmcores, bare dumps, or folders.")
    ],
    into: Annotated[
        Path,
        typer.Option(metavar="ARCHIVE", help="The folder of the archive; made if it is missing."),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Processes that read dumps; one for each CPU by default."
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Read dumps that are in the archive again, and replace them."),
    ] = False,
    json: Json = False,
) -> None:
    """Add the device dumps of vmcores to an archive.

    Folders are searched; links to folders are not followed, and texts and special files left
    aside. A dump that the archive has, by the SHA-256 of its payload, stays as it is, so a command
    that was killed can be run again. A file of which nothing can be read becomes a row that says
    why, and the exit code is 3. It is 5 if a file or folder could not be opened.
    """
    from vmcoredd.fleet import archive

    for path in paths:
        path.stat()  # a name that nothing has is an error before anything is made
    run, begin = _Added(quiet=json), time.monotonic()
    with writing(into), archive.Archive.made(into) as opened, preparing() as progress:
        processes = jobs or len(os.sched_getaffinity(0))
        with closing(archive.add(opened, paths, jobs=processes, again=again)) as outcomes:
            for outcome in outcomes:
                run.take(outcome)
                progress(f"{counted(run.files, 'file')}, {counted(run.added, 'dump')} added", None)
    seconds = time.monotonic() - begin
    if json:
        emit_json("archive add", run.record(into) | {"elapsed_seconds": round(seconds, 3)})
    else:
        run.print(into)
    if run.unreadable:
        raise typer.Exit(Exit.BAD_FILE)
    if run.failed:
        raise typer.Exit(Exit.INCOMPLETE)


class _Added:
    """What was added, counted."""

    def __init__(self, *, quiet: bool) -> None:
        self.files = self.added = self.known = self.outdated = self.skipped = 0
        self.unreadable = self.foreign = self.without = self.failed = 0
        self._said = 0
        self._quiet = quiet
        self._listed: list[dict[str, str]] = []
        self._failed: list[dict[str, str]] = []

    def take(self, outcome: Outcome) -> None:
        """Counts what came of a file, and says what is wrong with it."""
        self.files += not outcome.skipped
        self.skipped += bool(outcome.skipped)
        self.known += len(outcome.known)
        self.outdated += sum(not one.same_rules for one in outcome.known)
        for one in outcome.added:
            self.added += one.condition in ("good", "damaged")
            self.foreign += one.condition == "foreign"
            self.without += one.condition == "empty"
            if one.condition == "unreadable":
                self.unreadable += 1
                self._say(outcome.path, one.error, self._listed)
        if outcome.failed:
            self.failed += 1
            self._say(outcome.path, outcome.failed, self._failed)

    def _say(self, path: Path, why: str, listed: list[dict[str, str]]) -> None:
        if len(listed) < LISTED_MOST:
            listed.append({"file": str(path), "error": why})
        self._said += 1
        if self._said <= MESSAGES_MOST:
            report_error(why, path)

    def record(self, into: Path) -> dict[str, Any]:
        """Returns the counts for programs."""
        return {
            "archive": str(into),
            "files": self.files,
            "added": self.added,
            "known": self.known,
            "outdated": self.outdated,
            "foreign": self.foreign,
            "without_dump": self.without,
            "skipped": self.skipped,
            "unreadable": self.unreadable,
            "failed": self.failed,
            "unreadable_files": self._listed,
            "failed_files": self._failed,
        }

    def print(self, into: Path) -> None:
        """Prints the counts."""
        parts = [f"{counted(self.added, 'dump')} added", f"{self.known:,} known already"]
        parts += [f"{counted(self.foreign, 'dump')} of other drivers"] * bool(self.foreign)
        parts += [f"{counted(self.without, 'vmcore')} without a dump"] * bool(self.without)
        parts += [f"{counted(self.unreadable, 'file')} not readable"] * bool(self.unreadable)
        parts += [f"{counted(self.skipped, 'other entry', 'other entries')} left aside"] * bool(
            self.skipped
        )
        out.print(f"{into}: {', '.join(parts)}", markup=False)
        if self._said > MESSAGES_MOST:
            more = self._said - MESSAGES_MOST
            out.print(
                f"{counted(more, 'more file')}: `vmcoredd archive query --in {into} "
                "\"select file, error from dumps where error != ''\"` lists "
                f"{agreeing(more, 'it', 'them')}",
                markup=False,
            )
        if self.outdated:
            out.print(
                f"{counted(self.outdated, 'dump was', 'dumps were')} judged by other rules than "
                f"today's: --again judges {agreeing(self.outdated, 'it', 'them')} anew",
                markup=False,
            )


@app.command(
    epilog='Examples: `vmcoredd archive query --in fleet "select card, severity, count(*) from '
    'findings group by all"` - what is wrong, by type of card; '
    '`vmcoredd archive query --in fleet "select serial, time from registers where register = '
    "'PCIE_FW' and fields['ERR'] = 1\"` - whose firmware reports an error; "
    '`vmcoredd archive query --in fleet "describe findings"` - the columns of a table'
)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in DuckDB's SQL.")],
    within: In,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    rows: Annotated[
        int, typer.Option(min=0, help="Print at most so many rows; 0 is no limit, as of --csv.")
    ] = ROWS_MOST,
    json: Json = False,
) -> None:
    """Answer a question about all dumps: one SELECT on dumps, entities, registers, log, findings.

    It reads the archive and no other file, and writes none. docs/reference/archive.md has the
    columns. A wrong query is wrong usage: exit code 2.
    """
    from vmcoredd.cli.archive_answers import as_csv, as_json, as_table
    from vmcoredd.fleet import archive

    if csv and json:
        raise typer.BadParameter("--csv and --json exclude each other", param_hint="--csv")
    with archive.Archive(within) as opened, archive.ask(opened, sql) as answer:
        if csv:
            as_csv(answer)
        elif json:
            emit_json("archive query", {"archive": str(within), **as_json(answer, rows)})
        else:
            as_table(answer, rows)


@app.command(
    epilog="Examples: `vmcoredd archive outliers --in fleet`; "
    "`vmcoredd archive outliers --in fleet --register 'EDC_*'`"
)
def outliers(
    within: In,
    register: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Compare only registers whose names match this shell pattern; repeatable.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show the registers in which a card differs from the others of its type.

    Only those count that at least 99 % of the other cards have equal; of each card its newest dump
    counts. Counters, addresses and captures are left out. A type needs fifty cards.
    """
    from vmcoredd.fleet import archive

    with archive.Archive(within) as opened:
        found = archive.outliers(opened, _names(register or []))
    if json:
        emit_json("archive outliers", {"archive": str(within), **_outliers_record(found)})
    else:
        _print_outliers(found)


def _names(patterns: list[str]) -> list[str]:
    """Returns the names of registers that match; raises BadParameter where none can be compared."""
    from vmcoredd.chip.model import CHIPS
    from vmcoredd.chip.momentary import momentary

    every = sorted({register.name for chip in CHIPS for register in chip.r}) if patterns else []
    found: list[str] = []
    for pattern in patterns:
        names = [name for name in every if fnmatchcase(name, pattern.upper())] or [
            name for name in every if fnmatchcase(name, pattern)
        ]
        if not names:
            hint = did_you_mean(pattern.casefold(), {name.casefold(): name for name in every})
            what = f"no register matches {pattern}; {hint}".removesuffix("; ")
            raise typer.BadParameter(what, param_hint="--register")
        useful = [name for name in names if name not in momentary()]
        if not useful:
            kind = momentary()[names[0]]
            what = f"{names[0]} differs from card to card: it is {kind}"
            raise typer.BadParameter(what, param_hint="--register")
        found += useful
    return found


def _outliers_record(found: Outliers) -> dict[str, Any]:
    return {
        "types": [one._asdict() for one in found.types],
        "too_few": [one._asdict() for one in found.too_few],
        "outliers": [one._asdict() for one in found.found],
    }


def _print_outliers(found: Outliers) -> None:
    from vmcoredd.fleet.archive.outliers import CARDS_LEAST

    cards = list(_by_card(found.found))
    for kind in found.types:
        mine = sum(kind.card == group[0].card for group in cards)
        out.say(f"{kind.card}: {counted(kind.cards, 'card')}, {mine:,} of them differ")
    for kind in found.too_few:
        out.say(f"{kind.card}: {counted(kind.cards, 'card')}, of {CARDS_LEAST} needed to compare")
    if not (found.types or found.too_few):
        out.print("the archive has no dump of a card")
    for group in cards:
        first = group[0]
        out.say(f"{first.card}, serial {first.serial or 'unknown'}, dump {first.dump[:12]}")
        for one in group[:REGISTERS_MOST]:
            out.say(f"  {_place(one)}: {one.value:#010x}, others {one.mode:#010x}{_share(one)}")
        if len(group) > REGISTERS_MOST:
            out.say(
                f"  and {counted(len(group) - REGISTERS_MOST, 'more register')}; --json has all"
            )


def _by_card(found: tuple[Outlier, ...]) -> Iterator[list[Outlier]]:
    from itertools import groupby

    for _, group in groupby(found, lambda one: one.dump):
        yield list(group)


def _place(one: Outlier) -> str:
    return ", ".join(part for part in (one.instance, f"{one.register} at {one.offset:#x}") if part)


def _share(one: Outlier) -> str:
    return "" if one.share == 1 else f" ({one.share:.1%})"


@app.command(
    epilog="Example: `vmcoredd archive report --in fleet -o page` - then open page/index.html"
)
def report(
    within: In,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
    json: Json = False,
) -> None:
    """Make a page about all dumps: findings by card, firmware and time, with plots.

    The page needs no network and no other file; findings.json beside it has the same for programs.
    It names serial numbers.
    """
    import json as json_module

    from vmcoredd.cli.output import envelope
    from vmcoredd.cli.report import fleet as page
    from vmcoredd.cli.report.folder import check_folder, new_folder, write_private
    from vmcoredd.fleet import archive

    with writing(output):
        check_folder(output, force=force)
    with archive.Archive(within) as opened:
        found = archive.summary(opened)
        differing = archive.outliers(opened)
    record = found.record() | _outliers_record(differing)
    html = page.page(within.name, found, differing)
    with writing(output), new_folder(output, force=force) as folder:
        text = json_module.dumps(
            envelope("archive report", {"archive": str(within), **record}), indent=2, default=str
        )
        write_private(folder / RECORD, text + "\n")
        write_private(folder / PAGE, html)
    count = len(html.encode())
    if json:
        made = {"output": str(output), "size_bytes": count, "dumps": found.dumps}
        emit_json("archive report", {"archive": str(within), **made})
    else:
        what = f"{counted(found.dumps, 'dump')} of {counted(found.cards, 'card')}"
        out.print(f"{output / PAGE}: {what}, {size(count)}", markup=False)


@app.command(epilog="Example: `vmcoredd archive compact --in fleet`")
def compact(within: In, json: Json = False) -> None:
    """Make few large files of an archive's many small ones: queries are faster then.

    Dumps can be added meanwhile. What is no longer needed is deleted, unless another command uses
    the archive.
    """
    from vmcoredd.fleet import archive

    with writing(within), archive.Archive(within) as opened, preparing() as progress:
        done = archive.compact(
            opened,
            lambda at, total: progress(
                f"{at:,} of {counted(total, 'dump')}", at / total if total else 1
            ),
        )
    if json:
        emit_json("archive compact", {"archive": str(within), **done._asdict()})
        return
    packs = counted(done.packs, "file of each table", "files of each table")
    what = f"{counted(done.dumps, 'dump')} in {packs}" if done.packs else "nothing to do"
    out.print(f"{within}: {what}, {counted(done.deleted, 'file')} deleted", markup=False)
    if not done.alone:
        err.print("another command uses the archive: the next compact deletes the old files")
