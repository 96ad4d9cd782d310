"""`vmcoredd trace`: shows a trace, decoded: a recorded one, or what happens now."""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about, report, writing
from vmcoredd.cli.options import CollectedEntities, Force, choose, chosen
from vmcoredd.cli.output import out
from vmcoredd.cli.pager import paged
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.emu.control import Client
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.events import Decoder, Event
    from vmcoredd.trace.filters import Wanted
    from vmcoredd.trace.perfetto import Export
    from vmcoredd.trace.records import Record

EXAMPLES = """Examples: `vmcoredd emulate --card t62100-cr --socket t6.sock --trace t6.npz`, then
`vmcoredd trace t6.npz --block SGE --kind write`;
`vmcoredd trace t6.npz --kind command --kind reply`;
`vmcoredd trace t6.npz --format perfetto -o t6.pftrace` - for ui.perfetto.dev;
`vmcoredd trace t6.sock --kind command --kind reply` - while the adapter is served"""
_PAUSE = 0.25
"""Seconds from one look for news to the next."""
_MOST_BYTES = 64 << 20
"""Records that one answer may hold."""
FORMATS = ("text", "jsonl", "perfetto")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(trace)


def trace(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="What `emulate --trace` has recorded; or an adapter's control socket, to watch "
            "it.",
        ),
    ],
    block: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BLOCK",
            help="Show only this block, a shell pattern: SGE, memory, config, firmware, ...; "
            "repeatable.",
        ),
    ] = None,
    register: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Show only registers, memories or commands of this name, a shell pattern; "
            "repeatable.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Show only events of this kind, a shell pattern: read, write, command, reply, "
            "window, doorbell, gts, `dma-*`, interrupt, `frame-*`, ...; repeatable.",
        ),
    ] = None,
    entity: CollectedEntities = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="text|jsonl|perfetto",
            help="How to show it: as lines for people, as JSON Lines, or for ui.perfetto.dev.",
            callback=chosen("--format", lambda: FORMATS, "format"),
        ),
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write (default: stdout).")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Watch an adapter for so long (default: until ^C)."),
    ] = None,
    force: Force = False,
) -> None:
    """Show a trace: every access with its register, fields and time, and what followed.

    Runs of accesses and loops take one line in text; the other formats have all. The exit code is 5
    if the trace is incomplete, or lost events.
    """
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.events import Decoder

    if format == "perfetto" and output is None:
        raise typer.BadParameter("it is no text; give it a file", param_hint="--output")
    wanted = _wanted(block, register, kind)
    entities = entity or ()
    if path.is_socket():
        with _to(output, force=force) as file:
            _watch(path, wanted, entities, format, seconds, file)
        return
    with about(path), Reader(path) as reader:
        decoder = Decoder(reader.header)
        wanted = _of_entities(wanted, reader.header, entities)
        events = wanted.events(decoder.events(reader.records()))
        with _to(output, force=force) as file:
            _FORMATS[format](reader, decoder, events, file)
        _judge(reader, path)


def _wanted(blocks: list[str] | None, names: list[str] | None, kinds: list[str] | None) -> Wanted:
    from fnmatch import filter as matching

    from vmcoredd.trace.events import KINDS
    from vmcoredd.trace.filters import Wanted

    for kind in kinds or ():
        if not matching(KINDS, kind.casefold()):
            choose(kind, KINDS, "--kind")
    return Wanted(blocks or (), names or (), kinds or ())


def _of_entities(wanted: Wanted, header: Mapping[str, Any], entities: Sequence[str]) -> Wanted:
    """Adds the choice of entities: the accesses that collecting them takes."""
    from dataclasses import replace

    from vmcoredd.cli.touched import touched

    return replace(wanted, touched=touched(header, entities)) if entities else wanted


@contextmanager
def _to(output: Path | None, *, force: bool) -> Iterator[IO[bytes] | None]:
    """Opens the output; None is stdout."""
    if output is None:
        yield None
        return
    from vmcoredd import vmcore

    with writing(output):
        vmcore.check_output(output, force=force)
        with output.open("wb") as file:
            yield file


def _text(
    reader: Reader, decoder: Decoder, events: Iterator[Event], file: IO[bytes] | None
) -> None:
    from vmcoredd.trace import text
    from vmcoredd.trace.archive import mark

    heading = text.heading(reader.header, mark(reader.path))
    if file is None:
        with paged():
            out.say(heading, style="bold")
            out.say_all(text.lines(events))
    else:
        _write(file, iter([heading]))
        _write(file, text.lines(events))


def _json_lines(
    reader: Reader, decoder: Decoder, events: Iterator[Event], file: IO[bytes] | None
) -> None:
    from vmcoredd.trace import jsonlines

    def lines() -> Iterator[str]:
        yield from jsonlines.lines(reader.header, decoder, events)
        yield jsonlines.last_line(reader.end, reader.damage)

    if file is None:
        out.file.writelines(f"{line}\n" for line in lines())
    else:
        _write(file, lines())


def _perfetto(
    reader: Reader, decoder: Decoder, events: Iterator[Event], file: IO[bytes] | None
) -> None:
    _export(file, reader.header).add(events)


def _watch(
    path: Path,
    wanted: Wanted,
    entities: Sequence[str],
    format: str,
    seconds: float | None,
    file: IO[bytes] | None,
) -> None:
    """Shows what happens to a served adapter, until `seconds` are over or a signal comes.

    Text is folded as far as it has come at each look.
    """
    from vmcoredd.emu.control import Client
    from vmcoredd.trace import jsonlines, text
    from vmcoredd.trace.events import Decoder

    with Client(path) as client:
        header = client.ask("trace")["header"]
        decoder = Decoder(header)
        wanted = _of_entities(wanted, header, entities)
        export = _export(file, header) if format == "perfetto" else None
        lost = 0
        try:
            for records in _taken(client, seconds):
                events = wanted.events(decoder.events(records))
                if export:
                    export.add(events)
                elif format == "jsonl":
                    _say(file, (jsonlines.line(decoder, event) for event in events))
                else:
                    _say(file, text.lines(events))
        finally:
            lost = client.ask("trace-end")["lost"]
    if lost:
        report(f"{missing(lost)} missing: the ring was full", path)
        raise typer.Exit(Exit.INCOMPLETE)


def _export(file: IO[bytes] | None, header: Mapping[str, Any]) -> Export:
    from vmcoredd.trace.perfetto import Export

    assert file is not None
    return Export(file, header)


def _taken(client: Client, seconds: float | None) -> Iterator[list[Record]]:
    """Yields the records of a live trace, as they come."""
    from vmcoredd.trace.records import Assembler

    whole, end = Assembler(), None if seconds is None else time.monotonic() + seconds
    while True:
        answer = client.ask("trace-take")
        packed = base64.b64decode(answer["records"])
        piece = zlib.decompressobj().decompress(packed, _MOST_BYTES)
        if records := list(whole.add(piece)):
            yield records
        elif end is not None and time.monotonic() >= end:
            return
        else:
            time.sleep(_PAUSE)


def _say(file: IO[bytes] | None, lines: Iterator[str]) -> None:
    if file is None:
        out.say_all(lines)
        out.file.flush()
    else:
        _write(file, lines)


def _write(file: IO[bytes], lines: Iterator[str]) -> None:
    file.writelines(f"{line}\n".encode() for line in lines)


_FORMATS = {"text": _text, "jsonl": _json_lines, "perfetto": _perfetto}


def missing(lost: int) -> str:
    """Returns how many events a trace lacks, as the start of a sentence."""
    return counted(lost, "event is", "events are")


def _judge(reader: Reader, path: Path) -> None:
    """Says what is missing from the trace, and ends the command with its exit code."""
    lost = reader.end["lost"] if reader.end else 0
    if reader.damage:
        report(f"the trace is incomplete: {reader.damage}", path)
    if lost:
        report(f"{missing(lost)} missing: the ring was full", path)
    if reader.damage or lost:
        raise typer.Exit(Exit.INCOMPLETE)
