"""`vmcoredd top`: what a served card is busy with, now."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.options import Json
from vmcoredd.cli.output import envelope, out
from vmcoredd.cli.rates import rates

if TYPE_CHECKING:
    from vmcoredd.emu.control import Client

EXAMPLES = """Examples: `vmcoredd top t6.sock` - until ^C;
`vmcoredd top t6.sock --once`;
`vmcoredd top t6.sock --json --seconds 10 | jq '.blocks[0]'`"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(top)


def top(
    socket: Annotated[
        Path, typer.Argument(metavar="CONTROL", help="The control socket, or the adapter's.")
    ],
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds that each look takes.")
    ] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so long (default: at ^C).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    json: Json = False,
) -> None:
    """Show what a served adapter is busy with: register blocks, commands, ports, queues.

    What moves comes first, what does not is counted. The card counts always, so looking costs its
    client a fraction of a millisecond for each look. With --json, each look is an object on a line.
    """
    from vmcoredd.cli.top_view import lines
    from vmcoredd.emu.control import Client

    with Client(socket) as client:
        looks = _looks(client, interval, 0 if once else seconds)
        if json:
            for look in looks:
                sys.stdout.write(jsonlib.dumps(envelope("top", look)) + "\n")
                sys.stdout.flush()
        elif out.is_terminal and not once:
            _live(looks)
        else:
            for number, look in enumerate(looks):
                out.say_all([""] * bool(number) + lines(look, out.width))
                out.file.flush()


def _looks(client: Client, interval: float, seconds: float | None) -> Iterator[dict[str, Any]]:
    """Yields what happened in each interval."""
    end = None if seconds is None else time.monotonic() + seconds
    before, began = _state(client), time.monotonic()
    while True:
        time.sleep(interval)
        now, ended = _state(client), time.monotonic()
        yield rates(before, now, ended - began)
        before, began = now, ended
        if end is not None and ended >= end:
            return


def _state(client: Client) -> Mapping[str, Any]:
    """Returns the state, as soon as the card has time to tell it."""
    from vmcoredd.emu.control import RequestRefused

    while True:
        try:
            return client.ask("state")
        except RequestRefused as error:
            if not error.busy:
                raise


def _live(looks: Iterator[dict[str, Any]]) -> None:
    """Shows each look in the place of the last, until ^C."""
    from rich.live import Live
    from rich.text import Text

    from vmcoredd.cli.output import visible
    from vmcoredd.cli.top_view import lines

    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        for look in looks:
            shown = lines(look, out.width, out.height - 1)
            live.update(Text("\n".join(map(visible, shown)), no_wrap=True), refresh=True)
