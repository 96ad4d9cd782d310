"""`vmcoredd emulate`: serves an adapter on a vfio-user socket."""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmcoredd.cli.options import Card, Faults, Json, Scene, Seed, path_or_name
from vmcoredd.cli.output import envelope, err, out

EXAMPLES = """Examples: `vmcoredd emulate --card t62100-cr --socket /run/t6.sock`;
`vmcoredd emulate --card t520-cr --seed 7 --socket t5.sock --fault cim-host-busy`"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(emulate)


def emulate(
    card: Card,
    socket: Annotated[Path, typer.Option(help="The socket to listen on; replaces a stale one.")],
    seed: Seed = 0,
    scene: Scene = "crashed",
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
    json: Json = False,
) -> None:
    """Serve an emulated adapter until SIGTERM, ^C or the end of the terminal.

    When clients can connect, prints what to type to dump the adapter and to attach it to a QEMU
    guest; with --json, --ready-fd or a stdout that is no terminal, prints a line of JSON. Logs
    invalid accesses and unimplemented registers on stderr.
    """
    import logging

    from vmcoredd import emu
    from vmcoredd.emu.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    adapter = emu.Card.load(
        path_or_name(card), seed, scene=scene, faults=fault or (), map_window=map_window
    )

    def ready() -> None:
        _announce(card, seed, scene, socket, ready_fd, json)

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


def _announce(
    card: str, seed: int, scene: str, socket: Path, ready_fd: int | None, json: bool
) -> None:
    """Says that clients can connect: to a person on a terminal, else to a program as JSON."""
    path = os.path.abspath(socket)
    if ready_fd is None and not json and sys.stdout.isatty():
        _show_what_to_type(card, seed, scene, path)
        return
    ready = {
        "event": "ready",
        "card": card,
        "seed": seed,
        "scene": scene,
        "socket": path,
        "qemu": qemu_arguments(socket),
    }
    text = jsonlib.dumps(envelope("emulate", ready)) + "\n"
    if ready_fd is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        os.write(ready_fd, text.encode())
        os.close(ready_fd)
    if sys.stderr.isatty():
        err.print(f"serving {card} on {path}; press ^C to stop", markup=False)


def _show_what_to_type(card: str, seed: int, scene: str, path: str) -> None:
    """Prints lines to paste into another terminal."""
    words = [shlex.quote(word) for word in qemu_arguments(Path(path))]
    pairs = [" ".join(pair) for pair in zip(words[::2], words[1::2], strict=True)]
    qemu = " \\\n  ".join(["qemu-system-x86_64 -m 1G", *pairs])
    dump = shlex.join(["vmcoredd", "dump", "--socket", path, "-o", "vmcore"])
    out.print(f"Serving {card}, seed {seed}, scene {scene}. Press ^C to stop.\n", markup=False)
    out.print(f"To dump it, in another terminal:\n\n{dump}\n", markup=False)
    out.print(f"To attach it to a guest (QEMU 10.1 or newer):\n\n{qemu}\n", markup=False)


def _octal(mode: str) -> int:
    try:
        value = int(mode, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise typer.BadParameter(f"{mode} is not an octal file mode", param_hint="--mode")
    return value
