"""`vmcoredd guest`: runs a QEMU guest with emulated adapters attached."""

from __future__ import annotations

import errno
import functools
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmcoredd.cli.commands.dump import collect_and_write, dump_names, open_base
from vmcoredd.cli.exit_codes import Exit, writing
from vmcoredd.cli.options import (
    Cards,
    Force,
    Json,
    Kernel,
    KernelWithDumps,
    OutputVmcore,
    Seed,
    path_or_name,
)
from vmcoredd.cli.output import emit_json, err, out, preparing, step_lines, table, visible_lines

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.qemu.guest import Adapter
    from vmcoredd.qemu.kdump import Report
    from vmcoredd.qemu.prepare import Options

app = typer.Typer(
    no_args_is_help=True,
    help="Run a QEMU guest with emulated adapters and the unmodified Linux driver.",
)

MEMORY = re.compile(r"[1-9]\d*[MGmg]")
LEAST_MEMORY_MIB = 128
CRASHKERNEL = re.compile(
    r"[1-9]\d*[KMG](@\d+[KMG]?)?(,high|,low)?|[\dKMG:,-]*-[\dKMG:,-]*(@\d+[KMG]?)?"
)


def _memory_size(value: str) -> str:
    if not MEMORY.fullmatch(value):
        raise typer.BadParameter(f"{value} is not a size such as 512M or 2G")
    if int(value[:-1]) << (10 if value[-1] in "Gg" else 0) < LEAST_MEMORY_MIB:
        raise typer.BadParameter(f"{value} is too little: Linux needs {LEAST_MEMORY_MIB}M to boot")
    return value


def _crashkernel(value: str) -> str:
    if not CRASHKERNEL.fullmatch(value):
        raise typer.BadParameter(f"{value} is not a size such as 256M, or 1G-4G:192M,4G-:256M")
    return value


def _writable_file(value: Path | None) -> Path | None:
    if value is None:
        return None
    existed = value.exists()
    try:
        value.open("ab").close()
        if not existed:
            value.unlink()  # another option may still be wrong
    except OSError as error:
        raise typer.BadParameter(f"{value}: {error.strerror}") from error
    return value


def _new_socket(value: Path | None) -> Path | None:
    if value and not value.is_socket():
        _writable_file(value)
    return value


def _a_socket(value: Path) -> Path:
    if not value.is_socket():
        raise typer.BadParameter(f"{value}: {'not a socket' if value.exists() else 'no such file'}")
    return value


def _folder(value: Path | None) -> Path | None:
    if value is None:
        return None
    try:
        value.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{value}: {error.strerror}") from error
    if not os.access(value, os.R_OK | os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{value}: {os.strerror(errno.EACCES)}")
    return value


Memory = Annotated[
    str, typer.Option(metavar="SIZE", help="The guest's memory.", callback=_memory_size)
]
Console = Annotated[
    Path,
    typer.Option(help="The file for the log of the guest's console.", callback=_writable_file),
]
Driver = Annotated[bool, typer.Option("--driver", help="Load cxgb4 in the guest first.")]
MapWindow = Annotated[
    bool,
    typer.Option(
        "--map-window/--no-map-window",
        help="Let the guest map the memory window: faster dumps, no network interfaces.",
    ),
]


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="guest")


@app.command(epilog="Example: `vmcoredd guest kdump --card t62100-cr --card t520-cr -o vmcore`")
def kdump(
    card: Cards,
    output: OutputVmcore,
    seed: Seed = 0,
    kernel: KernelWithDumps = "6.1",
    memory: Memory = "1G",
    crashkernel: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="Memory reserved for the crash kernel.", callback=_crashkernel
        ),
    ] = "256M",
    map_window: MapWindow = True,
    notes_only: Annotated[
        bool, typer.Option("--notes-only", help="Save the notes without the guest's memory.")
    ] = False,
    remedy: Annotated[
        bool,
        typer.Option("--remedy/--no-remedy", help="Work around the driver's oops (docs/guest.md)."),
    ] = True,
    force: Force = False,
    json: Json = False,
) -> None:
    """Boot a guest, crash it, and save its crash kernel's /proc/vmcore.

    The first run downloads QEMU and builds the guest's kernel, which takes minutes. The log of the
    serial console is kept beside the output. If an adapter's dump is missing or may be partial, the
    reason is told and the exit code is 5.
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
    _show_kdump(report, json)
    if report.missing or report.partial:
        raise typer.Exit(Exit.INCOMPLETE)


def _show_kdump(report: Report, json: bool) -> None:
    seconds = {stage.value: round(took, 1) for stage, took in report.seconds.items()}
    if json:
        emit_json(
            "guest kdump",
            {
                "vmcore": str(report.vmcore),
                "console": str(report.console),
                "device_dumps": report.device_dumps,
                "missing": list(map(asdict, report.missing)),
                "partial": list(map(asdict, report.partial)),
                "oops": report.oops,
                "elapsed_seconds": seconds,
            },
        )
    else:
        table("", ("stage", "seconds"), list(seconds.items()))
        dumps = ", ".join(report.device_dumps) or "no device dump"
        out.print(f"{report.vmcore}: {dumps}", markup=False)
    for verdict in report.missing:
        _warn(f"{verdict.name} is missing: {verdict.reason}", f"next: {verdict.remedy}")
    for verdict in report.partial:
        _warn(f"{verdict.name} {verdict.reason}", f"next: {verdict.remedy}")
    if report.missing or report.partial:
        _warn(f"the console's log: {report.console}")


def _warn(*lines: str) -> None:
    err.print(visible_lines("\n  ".join(lines)), markup=False)


@app.command(epilog="Example: `vmcoredd guest shell --card t62100-cr`")
def shell(
    card: Cards,
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    map_window: MapWindow = False,
    console: Console = Path("guest.console"),
    monitor: Annotated[
        Path | None,
        typer.Option(
            help="Create a socket for QEMU's monitor (see `guest memory`).", callback=_new_socket
        ),
    ] = None,
    share: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The guest's /share; without it, what the guest saves there is kept in the end.",
            callback=_folder,
        ),
    ] = None,
) -> None:
    """Open a shell in a guest on this terminal; `exit` or ^A x ends it."""
    from vmcoredd.qemu.prepare import prepare
    from vmcoredd.qemu.session import run_shell

    with serving(card, seed, map_window) as (adapters, _):
        with preparing() as progress:
            prepared = prepare(kernel, progress)
        here = share or f"kept as {console.parent / 'guest.share'} when it ends"
        err.print(f"the guest's /share: {here}", markup=False)
        code = run_shell(
            adapters,
            options=_options(kernel, memory),
            console=console,
            monitor=monitor,
            share=share,
            on_saved=lambda path: err.print(f"saved from the guest: {path}", markup=False),
            prepared=prepared,
        )
    if code:
        raise typer.Exit(Exit.FAILED)


@app.command(epilog="Example: `vmcoredd guest run --card t62100-cr --script probe.sh --driver`")
def run(
    card: Cards,
    script: Annotated[
        Path,
        typer.Option(
            help="The script or program to run in the guest.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    map_window: MapWindow = False,
    driver: Driver = False,
    seconds: Annotated[
        float, typer.Option(help="The script's time limit in seconds.", min=1)
    ] = 900.0,
    console: Console = Path("guest.console"),
) -> None:
    """Run a script in a guest, and pass on its output and exit code."""
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
    card: Cards,
    output: OutputVmcore,
    panic: Annotated[bool, typer.Option("--panic", help="Panic the guest first.")] = False,
    driver: Driver = False,
    seed: Seed = 0,
    kernel: Kernel = "6.1",
    memory: Memory = "1G",
    force: Force = False,
    json: Json = False,
) -> None:
    """Dump a stopped guest's memory and adapters from outside, without kdump.

    QEMU writes the guest's memory. The user-space driver dumps the adapters inside the emulator,
    because QEMU occupies their sockets.
    """
    from vmcoredd import vmcore
    from vmcoredd.driver import open_card
    from vmcoredd.driver.dump_all import Request
    from vmcoredd.qemu import live as flow

    with writing(output):
        vmcore.check_output(output, force=force, stream=False)
    with serving(card, seed, False) as (adapters, cards), tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        requests = [
            Request(name, source, functools.partial(open_card, adapter))
            for name, source, adapter in zip(dump_names([], len(card)), card, cards, strict=True)
        ]

        def dump_adapters() -> None:
            collect_and_write(
                requests, output, open_base(base), force=force, json=json, command="guest live"
            )

        flow.run(
            adapters,
            base,
            panic=panic,
            driver=driver,
            options=_options(kernel, memory),
            console=output.with_name(f"{output.name}.console"),
            while_stopped=dump_adapters,
            progress=step_lines(),
        )


@app.command(epilog="Example: `vmcoredd guest memory --monitor /run/qmp.sock -o base.vmcore`")
def memory(
    monitor: Annotated[
        Path, typer.Option(help="The socket of QEMU's monitor (QMP).", callback=_a_socket)
    ],
    output: OutputVmcore,
    force: Force = False,
) -> None:
    """Write the memory of a running or panicked guest as a vmcore, for `vmcoredd dump --base`."""
    from vmcoredd.qemu.live import dump_memory

    with preparing() as progress:
        dump_memory(monitor, output, force=force, progress=progress)
    out.print(f"{output}: add device dumps with `vmcoredd dump --base {output}`", markup=False)


@contextmanager
def serving(
    cards: Sequence[str], seed: int, map_window: bool
) -> Iterator[tuple[list[Adapter], list[emu.Card]]]:
    """Emulates and serves each card; yields the adapters and the cards."""
    from vmcoredd import emu
    from vmcoredd.qemu.prepare import serve_cards

    loaded = [
        emu.Card.load(path_or_name(name), seed + number, map_window=map_window)
        for number, name in enumerate(cards)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder,
        serve_cards(loaded, Path(folder)) as adapters,
    ):
        yield adapters, loaded


def _options(kernel: str, memory: str, crashkernel: str = "256M") -> Options:
    from vmcoredd.qemu.prepare import Options

    return Options(kernel=kernel, memory=memory, crashkernel=crashkernel)
