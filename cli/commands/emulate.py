"""`vmcoredd emulate`: serves an adapter on a vfio-user socket."""

from __future__ import annotations

import json as jsonlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.trace import missing
from vmcoredd.cli.exit_codes import Exit, about, report, writing
from vmcoredd.cli.options import (
    Captures,
    CardWires,
    Faults,
    ForceRecordings,
    Json,
    OptionalCard,
    Scene,
    Seed,
    path_or_name,
    wire_options,
)
from vmcoredd.cli.output import envelope, err, out
from vmcoredd.cli.raising import From, FromIndex, check_index, raised_from

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.emu.wires import Wire

EXAMPLES = """Examples: `vmcoredd emulate --card t62100-cr --socket /run/t6.sock`;
`vmcoredd emulate --card t520-cr --seed 7 --socket t5.sock --fault cim-host-busy`;
`vmcoredd emulate --card t520-cr --scene fresh --socket t5.sock --wire 0=1 --pcap 0=port0.pcapng`;
`vmcoredd emulate --from vmcore --socket raised.sock` - a card raised from a dump;
`vmcoredd emulate --from vmcore --alive --socket raised.sock` - whose firmware runs, for a driver"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(emulate)


def emulate(
    socket: Annotated[Path, typer.Option(help="The socket to listen on; replaces a stale one.")],
    card: OptionalCard = None,
    from_: From = None,
    index: FromIndex = None,
    alive: Annotated[
        bool,
        typer.Option(
            "--alive",
            help="With --from: let the firmware run, so that a driver can attach to the card and "
            "show it in debugfs and ethtool.",
        ),
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACE",
            help="Serve the answers of this trace instead of a card, and say where the driver's "
            "accesses differ from the recorded ones, once it has gone.",
        ),
    ] = None,
    seed: Seed = 0,
    scene: Scene = "crashed",
    fault: Faults = None,
    wire: CardWires = None,
    pcap: Captures = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Record all that happens to the adapter, for `vmcoredd trace`; complete once the "
            "server has ended.",
        ),
    ] = None,
    trace_dma: Annotated[
        int,
        typer.Option(
            min=0, max=1 << 20, metavar="BYTES", help="Bytes that --trace keeps of each DMA."
        ),
    ] = 256,
    force: ForceRecordings = False,
    map_window: Annotated[
        bool,
        typer.Option(
            "--map-window",
            help="Let clients map the memory window: reading the card's memories is many times "
            "faster, and traffic slower (docs/how-to/live-adapter.md).",
        ),
    ] = False,
    mode: Annotated[str, typer.Option(help="The socket's file mode, in octal.")] = "600",
    owner: Annotated[
        str | None, typer.Option(help="The user who is to own the socket, by name or number.")
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Seconds to wait for the rest of a client's message.")
    ] = 5.0,
    control: Annotated[
        Path | None,
        typer.Option(
            help="The socket for `vmcoredd control`; by default beside the adapter's, with the "
            "suffix .ctl."
        ),
    ] = None,
    no_control: Annotated[
        bool, typer.Option("--no-control", help="Make no control socket.")
    ] = False,
    take_over: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="If another client connects, cut off one that has sent no request for so long. "
            "By default the other waits.",
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
    from vmcoredd.emu import wires
    from vmcoredd.emu.control.protocol import beside
    from vmcoredd.emu.server import serve

    if [card, replay, from_].count(None) != 2:
        what = "name a card, a vmcore to raise one --from, or a trace to --replay: one of them"
        raise typer.BadParameter(what, param_hint="--card")
    check_index(from_, index)
    if alive and not from_:
        raise typer.BadParameter("it needs --from; other cards are alive", param_hint="--alive")
    if replay:
        _serve_trace(replay, socket, _server_options(mode, owner, deadline), ready_fd, json=json)
        return
    if control and no_control:
        raise typer.BadParameter("give a path or --no-control, not both", param_hint="--control")
    if not no_control:
        control = control or beside(socket)
    _check_not_ours({"--socket": socket, "--control": control}, wire or ())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    lacking: list[dict[str, str]] = []
    if from_:
        card, seed, scene = str(from_), 0, "raised"
        raised = raised_from(from_, index, map_window=map_window, alive=alive)
        adapter, lacking = raised.card, [lack.json() for lack in raised.lacks]
    else:
        assert card
        adapter = emu.Card.load(path_or_name(card), seed, scene=scene, map_window=map_window)
    adapter.fail_served(*fault or ())
    cards = {"": adapter}
    with wire_options():
        ports = wires.all_ports(wires.plug(wire or (), cards), cards)
        captures = {each.end: each.path for each in wires.capture(pcap or (), cards, force=force)}

    def ready() -> None:
        facts = {
            "card": card,
            "seed": seed,
            "scene": scene,
            "socket": os.path.abspath(socket),
            "control": os.path.abspath(control) if control else None,
            "lacking": lacking,
        }
        _announce(facts, [(port, captures.get(port.end)) for port in ports], ready_fd, json)

    with _traced(adapter, trace, trace_dma, force=force):
        serve(
            adapter,
            socket,
            ready=ready,
            idle=take_over,
            control=control,
            **_server_options(mode, owner, deadline),
        )


def _server_options(mode: str, owner: str | None, deadline: float) -> dict[str, Any]:
    user = int(owner) if owner and owner.isdecimal() else owner
    return {"mode": _octal(mode), "owner": user, "deadline": deadline}


def _serve_trace(
    path: Path, socket: Path, options: dict[str, Any], ready_fd: int | None, *, json: bool
) -> None:
    """Plays the adapter's side of a trace, and shows where the driver did something else."""
    from vmcoredd.cli.commands.replay import conclude
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.replay import adapter_side

    with about(path), Reader(path) as reader:
        facts = {name: reader.header.get(name) for name in ("card", "seed", "scene")}
        facts |= {"socket": os.path.abspath(socket), "control": None, "lacking": []}
        found = adapter_side.serve(
            reader, socket, ready=lambda: _announce(facts, [], ready_fd, json), **options
        )
        conclude(found, reader, path, json=json)


@contextmanager
def _traced(
    adapter: emu.Card, path: Path | None, dma_carried: int, *, force: bool
) -> Iterator[None]:
    """Records a trace within the context, if there is a file for it."""
    from vmcoredd.emu.recording import recording

    if path is None:
        yield
        return
    recorded = recording(adapter, path, force=force, dma_carried=dma_carried)
    with writing(path), recorded as recorder:
        yield
    if recorder.failure:
        raise typer.Exit(Exit.FAILED)  # which is logged
    if recorder.ring.lost:
        report(f"{missing(recorder.ring.lost)} missing: the ring was full", path)


def qemu_arguments(socket: str | Path) -> list[str]:
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


Ports = Sequence[tuple["Wire", str | None]]
"""What each port leads to, and the file that captures its frames."""


def _announce(facts: dict[str, Any], ports: Ports, ready_fd: int | None, json: bool) -> None:
    """Says that clients can connect: to a person on a terminal, else to a program as JSON."""
    if ready_fd is None and not json and sys.stdout.isatty():
        _show_what_to_type(facts, ports)
        return
    described = [_port(wire, capture) for wire, capture in ports]
    qemu = qemu_arguments(facts["socket"])
    ready = {"event": "ready", **facts, "ports": described, "qemu": qemu}
    text = jsonlib.dumps(envelope("emulate", ready)) + "\n"
    if ready_fd is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        os.write(ready_fd, text.encode())
        os.close(ready_fd)
    if sys.stderr.isatty():
        message = f"serving {facts['card']} on {facts['socket']}; press ^C to stop"
        err.print(message, markup=False)


def _port(wire: Wire, capture: str | None) -> dict[str, Any]:
    """Returns what a program is told of a port."""
    return {
        "port": wire.end.port,
        "wire": wire.medium.name.lower(),
        "peer": wire.peer.port if wire.peer else None,
        "local": wire.local or None,
        "remote": wire.remote or None,
        "capture": capture,
    }


def _show_what_to_type(facts: dict[str, Any], ports: Ports) -> None:
    """Prints what each port leads to, and lines to paste into another terminal."""
    path = facts["socket"]
    words = [shlex.quote(word) for word in qemu_arguments(path)]
    pairs = [" ".join(pair) for pair in zip(words[::2], words[1::2], strict=True)]
    qemu = " \\\n  ".join(["qemu-system-x86_64 -m 1G", *pairs])
    dump = shlex.join(["vmcoredd", "dump", "--socket", path, "-o", "vmcore"])
    serving = "Serving {card}, seed {seed}, scene {scene}. Press ^C to stop.".format(**facts)
    out.print(serving, markup=False)
    for wire, capture in ports:
        out.print(f"  {wire}{f'; captured in {capture}' if capture else ''}", markup=False)
    for wire, _ in ports:
        if wire.qemu:
            ends = shlex.join(wire.qemu)
            out.print(f"\nTo attach another QEMU to port {wire.end}:\n\n{ends}", markup=False)
    out.print(f"\nTo dump it, in another terminal:\n\n{dump}\n", markup=False)
    if facts["control"]:
        look = shlex.join(["vmcoredd", "control", path])
        out.print(f"To look at it, and to change it:\n\n{look}\n", markup=False)
    out.print(f"To attach it to a guest (QEMU 10.1 or newer):\n\n{qemu}\n", markup=False)


def _check_not_ours(ours: Mapping[str, Path | None], texts: Sequence[str]) -> None:
    """Refuses a wire to a socket that an option of ours has, and one path for both of them."""
    from vmcoredd.emu.wires import parse

    paths = {os.path.abspath(path): option for option, path in ours.items() if path}
    if len(paths) < len([path for path in ours.values() if path]):
        raise typer.BadParameter("--socket has this path; choose another", param_hint="--control")
    for text in texts:
        wire = parse(text)
        for path in {wire.local, wire.remote} & paths.keys():
            why = f"{text}: {paths[path]} serves the card there; choose another path"
            raise typer.BadParameter(why, param_hint="--wire")


def _octal(mode: str) -> int:
    try:
        value = int(mode, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise typer.BadParameter(f"{mode} is not an octal file mode", param_hint="--mode")
    return value
