"""`vmcoredd emulate`: an adapter on a vfio-user socket."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.output import err

EXAMPLES = """Examples: `vmcoredd emulate --card t62100-cr --socket /run/t6.sock`;
`vmcoredd emulate --card t520-cr --seed 7 --socket t5.sock --fault cim-host-busy`"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(emulate)


def emulate(
    card: Annotated[str, typer.Option(help="A profile's name, or a TOML file.")],
    socket: Annotated[Path, typer.Option(help="Where to listen; a stale socket is replaced.")],
    seed: Annotated[
        int, typer.Option(help="Which card of this kind; equal seeds, equal cards.")
    ] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Break something (`vmcoredd cards --faults`).")
    ] = None,
    map_window: Annotated[
        bool,
        typer.Option(
            "--map-window",
            help="Let clients map the memory window: faster dumps in guests, no interfaces.",
        ),
    ] = False,
    mode: Annotated[str, typer.Option(help="The socket's mode, octal.")] = "600",
    owner: Annotated[str | None, typer.Option(help="The socket's owner, a name or number.")] = None,
    deadline: Annotated[
        float, typer.Option(help="Seconds a client may be silent half way through a message.")
    ] = 5.0,
    ready_fd: Annotated[
        int | None, typer.Option(help="Write the JSON line to this descriptor, not to stdout.")
    ] = None,
) -> None:
    """Serve an emulated adapter until SIGTERM or ^C.

    When a client may connect, one line of JSON is written, with the arguments that attach the
    adapter to a QEMU guest. What clients do that is out of order is logged on stderr.
    """
    import logging

    from vmcoredd import emu
    from vmcoredd.emu.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    adapter = emu.Card.load(path_or_name(card), seed, faults=fault or (), map_window=map_window)

    def ready() -> None:
        _announce(card, seed, socket, ready_fd)

    user = int(owner) if owner and owner.isdecimal() else owner
    serve(adapter, socket, ready=ready, mode=_octal(mode), owner=user, deadline=deadline)


def qemu_arguments(socket: Path) -> list[str]:
    """What attaches the adapter at `socket` to a guest; guest memory must be shared."""
    device = {
        "driver": "vfio-user-pci",
        "socket": {"type": "unix", "path": os.path.abspath(socket)},
    }
    return [
        "-object",
        "memory-backend-memfd,id=mem,size=1G,share=on",
        "-machine",
        "q35,memory-backend=mem",
        "-device",
        jsonlib.dumps(device),
    ]


def _announce(card: str, seed: int, socket: Path, ready_fd: int | None) -> None:
    path = os.path.abspath(socket)
    arguments = qemu_arguments(socket)
    line = {"event": "ready", "card": card, "seed": seed, "socket": path, "qemu": arguments}
    text = jsonlib.dumps(line) + "\n"
    if ready_fd is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        os.write(ready_fd, text.encode())
        os.close(ready_fd)
    if sys.stderr.isatty():
        err.print(f"serving {card} at {path}; ^C ends it", markup=False)


def path_or_name(card: str) -> str | Path:
    """A card as it was given: a TOML file if it looks like one, else a name."""
    return Path(card) if card.endswith(".toml") or "/" in card else card


def _octal(mode: str) -> int:
    try:
        value = int(mode, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise typer.BadParameter(f"{mode} is no octal file mode", param_hint="--mode")
    return value
