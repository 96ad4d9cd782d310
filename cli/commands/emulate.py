"""`vmcoredd emulate`: serves an adapter on a vfio-user socket."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.options import Card, Faults, Seed, path_or_name
from vmcoredd.cli.output import envelope, err

EXAMPLES = """Examples: `vmcoredd emulate --card t62100-cr --socket /run/t6.sock`;
`vmcoredd emulate --card t520-cr --seed 7 --socket t5.sock --fault cim-host-busy`"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(emulate)


def emulate(
    card: Card,
    socket: Annotated[Path, typer.Option(help="The socket to listen on; replaces a stale one.")],
    seed: Seed = 0,
    fault: Faults = None,
    map_window: Annotated[
        bool,
        typer.Option(
            "--map-window",
            help="Let clients map the memory window: faster guest dumps, no network interfaces.",
        ),
    ] = False,
    mode: Annotated[str, typer.Option(help="The socket's file mode, in octal.")] = "600",
    owner: Annotated[
        str | None, typer.Option(help="The socket's owner, by name or number.")
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Seconds to wait for the rest of a client's message.")
    ] = 5.0,
    take_over: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Cut off a client that asks for nothing for so long when another comes.",
        ),
    ] = None,
    ready_fd: Annotated[
        int | None,
        typer.Option(help="Write the JSON line to this file descriptor instead of stdout."),
    ] = None,
) -> None:
    """Serve an emulated adapter until SIGTERM or ^C.

    Prints a line of JSON when clients can connect, with the arguments that attach the adapter to a
    QEMU guest. Logs invalid accesses and unimplemented registers on stderr.
    """
    import logging

    from vmcoredd import emu
    from vmcoredd.emu.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    adapter = emu.Card.load(path_or_name(card), seed, faults=fault or (), map_window=map_window)

    def ready() -> None:
        _announce(card, seed, socket, ready_fd)

    user = int(owner) if owner and owner.isdecimal() else owner
    serve(
        adapter,
        socket,
        ready=ready,
        mode=_octal(mode),
        owner=user,
        deadline=deadline,
        idle=take_over,
    )


def qemu_arguments(socket: Path) -> list[str]:
    """Returns QEMU's arguments to attach the adapter at `socket` to a guest with shared memory."""
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
    ready = {"event": "ready", "card": card, "seed": seed, "socket": path, "qemu": arguments}
    text = jsonlib.dumps(envelope("emulate", ready)) + "\n"
    if ready_fd is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        os.write(ready_fd, text.encode())
        os.close(ready_fd)
    if sys.stderr.isatty():
        err.print(f"serving {card} on {path}; press ^C to stop", markup=False)


def _octal(mode: str) -> int:
    try:
        value = int(mode, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise typer.BadParameter(f"{mode} is not an octal file mode", param_hint="--mode")
    return value
