"""`vmcoredd replay`: plays a recorded driver's side against a server, and compares the answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.options import Json
from vmcoredd.cli.output import emit_json, err, out

if TYPE_CHECKING:
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.replay.driver_side import Ask, Progress
    from vmcoredd.trace.replay.report import Report

EXAMPLES = """Examples: `vmcoredd replay probe.npz` - against a card like the recorded one, emulated
here; `vmcoredd replay probe.npz --against t6.sock`"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(replay)


def replay(
    path: Annotated[
        Path, typer.Argument(metavar="TRACE", help="What `emulate --trace` has recorded.")
    ],
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SOCKET",
            help="The vfio-user server to play to. Without it the recorded card is emulated here, "
            "with the faults and the wires that it had.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Compare volatile registers too: clocks and statistics."),
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to wait for what the adapter had done when it was recorded."
        ),
    ] = 2.0,
    lines: Annotated[int, typer.Option(min=0, help="Show at most so many differences.")] = 20,
    json: Json = False,
) -> None:
    """Play a recorded driver's side to an adapter and show where its answers differ, decoded.

    Makes the same accesses, shares the same memory, and waits for the same DMA and interrupts. A
    word that was polled is polled until it has the recorded value. The exit code is 5 if something
    differs or the trace is incomplete.
    """
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.replay.driver_side import Options
    from vmcoredd.trace.replay.driver_side import replay as play

    with about(path), Reader(path) as reader, ExitStack() as stack:
        socket, ask = stack.enter_context(_other_side(reader.header, against))
        progress = stack.enter_context(_progress(reader))
        options = Options(ask, strict, patience, progress)
        found = play(reader, socket, options)
    conclude(found, reader, path, lines, json=json)


@contextmanager
def _other_side(
    header: Mapping[str, Any], against: Path | None
) -> Iterator[tuple[Path, Ask | None]]:
    """Yields the socket to play to, and who applies requests to its emulator, if anybody does."""
    if against is not None:
        with _asking(against) as ask:
            yield against, ask
        return
    from vmcoredd.emu.control import beside
    from vmcoredd.emu.recording import card_of
    from vmcoredd.emu.server import served

    with tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder:
        socket = Path(folder) / "card.sock"
        card = card_of(header)
        with served(card, socket, control=beside(socket)), _asking(socket) as ask:
            yield socket, ask


@contextmanager
def _asking(socket: Path) -> Iterator[Ask | None]:
    """Yields what asks the control socket beside an adapter's; None if there is none."""
    from vmcoredd.emu.control import Client, beside

    if not beside(socket).exists():  # else it would ask the adapter's, which serves one client
        yield None
        return
    with Client(socket) as client:
        yield lambda request: client.ask(**request)


@contextmanager
def _progress(reader: Reader) -> Iterator[Progress]:
    """Shows how far a replay is, on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from vmcoredd.trace.archive import mark

    total = (mark(reader.path) or {}).get("events")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bars:
        task = bars.add_task("replaying", total=total)
        yield lambda done: bars.update(task, completed=done)


def conclude(found: Report, reader: Reader, path: Path, lines: int = 20, *, json: bool) -> None:
    """Shows what a replay found, and ends the command with its exit code."""
    from vmcoredd.cli.commands.trace import missing

    damage, lost = reader.damage, (reader.end or {}).get("lost", 0)
    if json:
        emit_json("replay", {"trace": str(path), **found.json(), "damage": damage, "lost": lost})
    else:
        _show(found, lines)
    if damage:
        report(f"the trace is incomplete: {damage}", path)
    if lost:
        report(f"{missing(lost)} missing: the ring was full", path)
    if found.differing or damage or lost:
        raise typer.Exit(Exit.INCOMPLETE)


def _show(found: Report, lines: int) -> None:
    for difference in found.differences[:lines]:
        out.say_all(difference.lines())
    if found.differing > lines:
        out.say(f"{found.differing - lines:,} more differences: --lines shows more")
    out.say_all(found.lines())
