"""`vmcoredd demo`: shows the whole process in under a minute."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from vmcoredd.cli.commands.dump import dump
from vmcoredd.cli.exit_codes import Exit, writing
from vmcoredd.cli.options import OutputVmcore
from vmcoredd.cli.output import err, out

CARDS = ("t62100-cr", "t520-cr")
READY_SECONDS = 30.0
READELF_COLUMNS = 72


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Example: `vmcoredd demo -o vmcore`")(demo)


def demo(
    output: OutputVmcore = Path("vmcore.out"),
) -> None:
    """Serve a T6 and a T5, dump both into a vmcore, and show its notes with readelf.

    Each adapter is emulated in its own process. An existing output file is replaced.
    """
    from vmcoredd import vmcore

    with writing(output):
        vmcore.check_output(output, force=True, stream=False)
    with tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder, ExitStack() as servers:
        sockets = [Path(folder) / f"{card}.sock" for card in CARDS]
        for card, socket in zip(CARDS, sockets, strict=True):
            out.print(f"$ vmcoredd emulate --card {card} --socket {socket} &", style="bold")
            servers.enter_context(emulated(card, socket))
        arguments = " ".join(f"--socket {socket}" for socket in sockets)
        out.print(f"$ vmcoredd dump {arguments} -o {output} --force", style="bold")
        dump(output=output, socket=sockets, force=True)
    out.print(f"$ readelf -n {output} | cut -c-{READELF_COLUMNS}", style="bold")
    _readelf(output)
    out.print(f"\n`vmcoredd show {output}` shows the contents of the first dump.", markup=False)


@contextmanager
def emulated(card: str, socket: Path) -> Iterator[None]:
    """Serves an adapter from its own process; the context starts when it is ready."""
    from vmcoredd import debs

    command = [sys.executable, "-m", "vmcoredd", "emulate", "--card", card, "--socket", str(socket)]
    log = socket.with_suffix(".log")
    with (
        log.open("w+") as messages,
        subprocess.Popen(
            debs.bound(command), stdout=subprocess.PIPE, stderr=messages, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            if not json.loads(server.stdout.readline() or "null"):
                err.print(f"the server of {card} did not start:\n{log.read_text()}", markup=False)
                raise typer.Exit(Exit.NO_DEVICE)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(READY_SECONDS)


def _readelf(vmcore: Path) -> None:
    """Prints readelf's output with lines cut: it prints every byte of a note of unknown type."""
    command = ["readelf", "--notes", "--wide", str(vmcore)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as readelf:
        assert readelf.stdout is not None
        while line := readelf.stdout.readline(READELF_COLUMNS):
            out.print(line.rstrip("\n").expandtabs()[:READELF_COLUMNS], markup=False)
            while line and not line.endswith("\n"):
                line = readelf.stdout.readline(1 << 20)
