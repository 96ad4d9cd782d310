"""`vmcoredd guest`: emulated adapters in a guest under QEMU."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.dump import collect_and_write, open_base, pci_names
from vmcoredd.cli.commands.emulate import path_or_name
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.output import emit_json, err, out, table
from vmcoredd.cli.progress import preparing, saying

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.qemu.prepare import Options

app = typer.Typer(
    no_args_is_help=True,
    help="A guest under QEMU with emulated adapters and the unmodified Linux driver.",
)

Card = Annotated[list[str], typer.Option("--card", help="An adapter to attach; repeatable.")]
Seed = Annotated[int, typer.Option(help="Of the cards.")]
Kernel = Annotated[str, typer.Option(help="The guest's kernel: 6.1 or newer (docs/guest.md).")]
Memory = Annotated[str, typer.Option(help="The guest's memory.")]
MapWindow = Annotated[
    bool, typer.Option("--map-window/--no-map-window", help="Map the memory window into the guest.")
]


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="guest")


@app.command(epilog="Example: `vmcoredd guest kdump --card t62100-cr --card t520-cr -o vmcore`")
def kdump(
    card: Card,
    output: Annotated[Path, typer.Option("--output", "-o", help="The vmcore to bring home.")],
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    crashkernel: Annotated[str, typer.Option(help="Memory of the crash kernel.")] = "256M",
    map_window: MapWindow = True,
    notes_only: Annotated[
        bool, typer.Option("--notes-only", help="Without the guest's memory.")
    ] = False,
    remedy: Annotated[
        bool,
        typer.Option("--remedy/--no-remedy", help="Work around the driver's oops (docs/guest.md)."),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing vmcore.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Boot a guest, let it panic, and bring its crash kernel's /proc/vmcore home.

    The first time, QEMU and the guest's kernel are downloaded and built, which takes minutes. The
    serial console is kept beside the output. Exit code 5 if an adapter's dump is missing.
    """
    from vmcoredd.qemu import kdump as flow

    with serving(card, seed, map_window) as (adapters, _), preparing() as progress:
        report = flow.run(
            adapters,
            output,
            flow=flow.Flow(remedy=remedy, notes_only=notes_only),
            options=_options(kernel, memory, crashkernel),
            force=force,
            progress=progress,
        )
    seconds = {stage.value: round(took, 1) for stage, took in report.seconds.items()}
    if json:
        emit_json(
            {
                "vmcore": str(report.vmcore),
                "console": str(report.console),
                "device_dumps": report.device_dumps,
                "oops": report.oops,
                "seconds": seconds,
            }
        )
    else:
        table("", ("stage", "after s"), list(seconds.items()))
        out.print(f"{report.vmcore}: {', '.join(report.device_dumps) or 'no device dump'}")
    if report.oops:
        err.print(f"the guest's driver oopsed: {report.oops}", markup=False)
    if len(report.device_dumps) < len(card):
        raise typer.Exit(Exit.INCOMPLETE)


@app.command(epilog="Example: `vmcoredd guest shell --card t62100-cr`")
def shell(
    card: Card,
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    map_window: MapWindow = False,
    console: Annotated[Path, typer.Option(help="Where the console is logged.")] = Path(
        "guest.console"
    ),
    monitor: Annotated[
        Path | None, typer.Option(help="A socket for QEMU's monitor (for `guest memory`).")
    ] = None,
) -> None:
    """A shell in a guest, on this terminal; `poweroff` or ^A x ends it."""
    from vmcoredd.qemu.prepare import prepare
    from vmcoredd.qemu.session import run_shell

    with serving(card, seed, map_window) as (adapters, _):
        with preparing() as progress:
            prepared = prepare(kernel, progress)
        code = run_shell(
            adapters,
            options=_options(kernel, memory),
            console=console,
            monitor=monitor,
            prepared=prepared,
        )
    if code:
        raise typer.Exit(Exit.FAILED)


@app.command(epilog="Example: `vmcoredd guest run --card t62100-cr --script probe.sh --driver`")
def run(
    card: Card,
    script: Annotated[Path, typer.Option(help="A program or script to run in the guest.")],
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    map_window: MapWindow = False,
    driver: Annotated[bool, typer.Option("--driver", help="Load cxgb4 before.")] = False,
    seconds: Annotated[float, typer.Option(help="How long the script may take.")] = 900.0,
    console: Annotated[Path, typer.Option(help="Where the console is logged.")] = Path(
        "guest.console"
    ),
) -> None:
    """Run a script in a guest; its output and its exit code are this command's."""
    from vmcoredd.qemu.session import run_script

    with serving(card, seed, map_window) as (adapters, _), preparing() as progress:
        result = run_script(
            adapters,
            script,
            options=_options(kernel, memory),
            driver=driver,
            seconds=seconds,
            console=console,
            on_output=lambda text: print(text, end="", flush=True),
            progress=progress,
        )
    raise typer.Exit(result.code)


@app.command(epilog="Example: `vmcoredd guest live --card t62100-cr --panic -o vmcore`")
def live(
    card: Card,
    output: Annotated[Path, typer.Option("--output", "-o", help="The vmcore to write.")],
    panic: Annotated[bool, typer.Option("--panic", help="Let the guest panic before.")] = False,
    driver: Annotated[bool, typer.Option("--driver", help="Load cxgb4 in the guest.")] = False,
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing vmcore.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Stop a guest, take its memory through QEMU, and its adapters from outside, without kdump.

    The adapters are dumped by our driver, in the emulator itself, while QEMU holds their sockets.
    """
    from vmcoredd import vmcore
    from vmcoredd.driver import open_card
    from vmcoredd.driver.crash import Request
    from vmcoredd.qemu import live as flow

    vmcore.check_output(output, force=force)
    with serving(card, seed, False) as (adapters, cards), tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        requests = [
            Request(name, source, functools.partial(open_card, adapter))
            for name, source, adapter in zip(pci_names([], len(card)), card, cards, strict=True)
        ]

        def take() -> None:
            collect_and_write(requests, output, open_base(base), force=force, json=json)

        flow.run(
            adapters,
            base,
            panic=panic,
            driver=driver,
            options=_options(kernel, memory),
            console=output.with_name(f"{output.name}.console"),
            while_stopped=take,
            progress=saying(),
        )


@app.command(epilog="Example: `vmcoredd guest memory --monitor /run/qmp.sock -o base.vmcore`")
def memory(
    monitor: Annotated[Path, typer.Option(help="The socket of QEMU's monitor (QMP).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The vmcore to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing vmcore.")] = False,
) -> None:
    """Write a running or panicked guest's memory as a vmcore, a base for `vmcoredd dump --base`."""
    from vmcoredd.qemu.live import dump_memory

    with preparing() as progress:
        dump_memory(monitor, output, force=force, progress=progress)
    out.print(f"{output}: use it with `vmcoredd dump --base {output}`", markup=False)


@contextmanager
def serving(
    cards: Sequence[str], seed: int, map_window: bool
) -> Iterator[tuple[list[Any], list[emu.Card]]]:
    """Each card on a socket, served by a thread of this process, and the cards themselves."""
    from pyvfio_user import Server
    from vmcoredd import emu
    from vmcoredd.emu.server import attach
    from vmcoredd.qemu.guest import Adapter

    with tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder, ExitStack() as servers:
        adapters, loaded = [], []
        for number, name in enumerate(cards):
            card = emu.Card.load(path_or_name(name), seed + number, map_window=map_window)
            socket = Path(folder) / f"{number}.sock"
            server = servers.enter_context(Server(socket))
            attach(card, server)
            thread = threading.Thread(target=server.run, name=f"serve {name}")
            thread.start()
            servers.callback(_end, server, thread)
            adapters.append(Adapter(socket))
            loaded.append(card)
        yield adapters, loaded


def _end(server: Any, thread: threading.Thread) -> None:
    server.stop()
    thread.join()


def _options(kernel: str, memory: str, crashkernel: str = "256M") -> Options:
    from vmcoredd.qemu.prepare import Options

    return Options(kernel=kernel, memory=memory, crashkernel=crashkernel)
