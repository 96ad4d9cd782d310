"""`vmcoredd diff`: compares two device dumps, entity by entity; or two traces, step by step."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.show import first_dump, report_unknowns
from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.folding import folded_text
from vmcoredd.cli.foreign import is_foreign
from vmcoredd.cli.healthy_diff import diff_with_healthy
from vmcoredd.cli.inputs import dump_of, opened, stream
from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, out
from vmcoredd.cli.trace_diff import diff_traces, is_trace
from vmcoredd.plural import agreeing, counted

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.cudbg.compare import Difference

EXAMPLES = """Examples: `vmcoredd diff before.vmcore after.vmcore`;
`vmcoredd diff --with-healthy vmcore` - what a healthy card would not show;
`vmcoredd diff --card-only vmcore again` - where a driver dumped the card raised from `vmcore`;
`vmcoredd diff kernel-6.1.npz kernel-6.12.npz` - two traces of `emulate --trace`;
`vmcoredd diff a.vmcore a.vmcore --index 0 --other-index 1` - two dumps of one file"""


_DRIVERS_DIFFER = (
    "one driver had attached to the firmware, the other had not: `--card-only` leaves out what "
    "they knew"
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(diff)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A vmcore, or a trace.")],
    b: Annotated[
        Path | None,
        typer.Argument(metavar="B", help="Another vmcore or trace, or the same vmcore."),
    ] = None,
    with_healthy: Annotated[
        bool,
        typer.Option(
            "--with-healthy",
            help="Compare A with healthy cards of its kind, which are emulated, instead of B: "
            "shows only what differs in meaning.",
        ),
    ] = False,
    index: Annotated[
        int | None, typer.Option(help="Index of A's note; the first device dump by default.")
    ] = None,
    other_index: Annotated[
        int | None, typer.Option(help="Index of B's note; the first device dump by default.")
    ] = None,
    card_only: Annotated[
        bool,
        typer.Option(
            "--card-only",
            help="Do not compare what stood in the host and not in the card, such as MBOX_LOG and "
            "QDESC: for a dump, and what another driver found in a card raised from it. Only for "
            "two dumps of adapters of this kind.",
        ),
    ] = False,
    lines: Annotated[
        int,
        typer.Option(
            help="Show at most so many decoded differences of each entity, or lines of a trace."
        ),
    ] = 10,
    json: Json = False,
) -> None:
    """Compare two device dumps, or two traces, and show the differences, decoded.

    Compares the contents, not their compression; dumps of other drivers as bytes. The exit code is
    5 if something differs, or cannot be compared because this version does not know its format. It
    is 3 if something is damaged. What --card-only leaves out counts for none of these.

    Of two traces, shows where the drivers part: polled words count once, whatever the number of
    reads; clocks and counters may differ, and so may addresses in the host's memory.

    With --with-healthy, registers come first of which `vmcoredd diagnose` speaks, then others that
    no healthy card has. Counters, addresses, captures and a driver's work are not compared.
    """
    from vmcoredd.cudbg.compare import Difference, compare, differing_drivers

    if with_healthy:
        _check_alone(b, other_index)
        _check_not(card_only, "a healthy card is compared with what the card has, and nothing else")
        diff_with_healthy(a, index, lines, json=json)
        return
    if b is None:
        raise typer.BadParameter("name a second file, or use --with-healthy", param_hint="B")
    if is_trace(a) or is_trace(b):
        for path, name in ((a, "A"), (b, "B")):
            if not is_trace(path):
                raise typer.BadParameter("no trace, but the other is one", param_hint=name)
        _check_not(card_only, "it is for dumps, and these are traces")
        diff_traces(a, b, lines, json=json)
        return
    if None is not stream(a) == stream(b):
        raise typer.BadParameter("A is standard input already", param_hint="B")
    with ExitStack() as files:
        one = _open(files, a, index, "--index")
        other = _open(files, b, other_index, "--other-index")
        if is_foreign(*one) or is_foreign(*other):
            _check_not(card_only, "another driver's dump does not tell what is of its card")
            _compare_payloads(a, b, one, other, json=json)
            return
        left, right = _dump(a, *one), _dump(b, *other)
        found = list(compare(left, right, card_only=card_only))
        differences = [item for item in found if isinstance(item, Difference)]
        different = [_record(left, right, d, lines) for d in differences if d.compared]
        others = [_record(left, right, d, lines) for d in differences if not d.compared]
    equal = len(found) - len(differences)
    if json:
        counts = {"equal": equal, "different": different, "not_compared": others}
        emit_json("diff", {"a": str(a), "b": str(b), **counts})
    else:
        _show([*different, *others])
        out.print(_counts(equal, len(different), len(others)))
        if different and not card_only and differing_drivers(left, right):
            out.print(_DRIVERS_DIFFER)
    for path, dump in ((a, left), (b, right)):
        report_unknowns(dump, path)
        if dump.cut:
            report(dump.cut, path)
    damaged = [difference.name for difference in differences if difference.damaged]
    if damaged:
        report(f"damaged, hence not compared: {', '.join(damaged)}")
    if damaged or left.cut or right.cut:
        raise typer.Exit(Exit.BAD_FILE)
    if any(not difference.of_host for difference in differences):
        raise typer.Exit(Exit.INCOMPLETE)


def _check_alone(b: Path | None, other_index: int | None) -> None:
    """Refuses what would be of another file."""
    if b is not None:
        raise typer.BadParameter("there is none with --with-healthy", param_hint="B")
    if other_index is not None:
        raise typer.BadParameter("it needs B", param_hint="--other-index")


def _check_not(card_only: bool, why: str) -> None:
    """Refuses --card-only where it would change nothing."""
    if card_only:
        raise typer.BadParameter(why, param_hint="--card-only")


def _open(
    files: ExitStack, path: Path, index: int | None, option: str
) -> tuple[vmcore.Reader, vmcore.Note]:
    with about(path):
        reader = files.enter_context(opened(path))
        return reader, first_dump(reader, index, option)


def _dump(path: Path, reader: vmcore.Reader, note: vmcore.Note) -> cudbg.Dump:

    with about(path):
        return dump_of(reader, note)


def _compare_payloads(
    a: Path,
    b: Path,
    one: tuple[vmcore.Reader, vmcore.Note],
    other: tuple[vmcore.Reader, vmcore.Note],
    *,
    json: bool,
) -> None:
    """Compares dumps of which at least one is another driver's, as bytes."""
    from vmcoredd.cudbg.compare import compare_bytes

    left, right = (reader.payload(note.index, partial=True) for reader, note in (one, other))
    found = compare_bytes("payload", left, right)
    different = [{"name": found.name, "what": found.what, "decoded": []}] if found else []
    if json:
        counts = {"equal": 1 - len(different), "different": different, "not_compared": []}
        emit_json("diff", {"a": str(a), "b": str(b), **counts})
    else:
        _show(different)
        result = "differ" if different else "are equal"
        out.print(f"the payloads {result}; another driver's dump is compared as bytes only")
    if different:
        raise typer.Exit(Exit.INCOMPLETE)


def _record(left: cudbg.Dump, right: cudbg.Dump, item: Difference, lines: int) -> dict[str, Any]:
    from vmcoredd.cudbg.compare import in_words

    words = in_words(left, right, item.name, lines) if item.differing_bytes else []
    return {"name": item.name, "what": item.what, "decoded": words}


def _counts(equal: int, different: int, others: int) -> str:
    """Returns how many entities are equal, and how many are not."""
    text = f"{counted(equal, 'entity is', 'entities are')} equal"
    text += f", {different:,} {agreeing(different, 'differs', 'differ')}"
    return text + f", {others:,} {agreeing(others, 'is', 'are')} not compared" * bool(others)


def _show(records: list[dict[str, Any]]) -> None:
    for record in records:
        out.say(f"{record['name']}: {record['what']}")
        for line in record["decoded"]:
            for one in folded_text(f"  {line}", out.width) if out.is_terminal else (f"  {line}",):
                out.say(one)
