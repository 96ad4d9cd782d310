"""`vmcoredd guest`: runs a QEMU guest with emulated adapters attached."""

from __future__ import annotations

import functools
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmcoredd.cli.commands.dump import collect_and_write, dump_names, open_base
from vmcoredd.cli.exit_codes import Exit, writing
from vmcoredd.cli.guest_options import (
    ASocket,
    Cards,
    CardsIfAny,
    Console,
    Crashkernel,
    Driver,
    DriverOrNot,
    FirstSeed,
    Gdb,
    HostFolders,
    MapWindow,
    Memory,
    MemoryForCards,
    Module,
    NewSocket,
    OwnScene,
    Share,
    Sockets,
    Traffic,
    check_adapters,
    host_folders,
    memory_for,
)
from vmcoredd.cli.named_cards import named_cards
from vmcoredd.cli.options import (
    Captures,
    FaultsOfCards,
    Force,
    ForceCaptures,
    Json,
    Kernel,
    KernelWithDumps,
    OutputVmcore,
    Wires,
)
from vmcoredd.cli.output import emit_json, err, out, preparing, step_lines, table, visible_lines
from vmcoredd.cli.served_cards import Setup, serving
from vmcoredd.cli.traffic import holding_outside, joined_interfaces, own_wires, wires_inside

if TYPE_CHECKING:
    from vmcoredd.qemu.kdump import Report
    from vmcoredd.qemu.kernel import Kernel as GuestKernel
    from vmcoredd.qemu.prepare import Options, Prepared
    from vmcoredd.qemu.program import Debugging
    from vmcoredd.qemu.root import Root

app = typer.Typer(
    no_args_is_help=True,
    help="Run a QEMU guest with emulated adapters and the unmodified Linux driver.",
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="guest")


@app.command(
    epilog="Examples: `vmcoredd guest kdump --card t62100-cr --card t520-cr -o vmcore`; "
    "`vmcoredd guest kdump --card t62100-cr --traffic -o vmcore`"
)
def kdump(
    output: OutputVmcore,
    card: CardsIfAny = None,
    socket: Sockets = None,
    traffic: Traffic = False,
    wire: Wires = None,
    pcap: Captures = None,
    fault: FaultsOfCards = None,
    seed: FirstSeed = 0,
    scene: OwnScene = None,
    kernel: KernelWithDumps = "6.1",
    module: Module = None,
    memory: MemoryForCards = None,
    crashkernel: Crashkernel = "256M",
    map_window: MapWindow = None,
    notes_only: Annotated[
        bool, typer.Option("--notes-only", help="Save the notes without the guest's memory.")
    ] = False,
    remedy: Annotated[
        bool,
        typer.Option(
            "--remedy/--no-remedy", help="Work around the driver's oops (docs/how-to/guest.md)."
        ),
    ] = True,
    force: Force = False,
    json: Json = False,
) -> None:
    """Boot a guest, crash it, and save its crash kernel's /proc/vmcore.

    The first run downloads QEMU and builds the guest's kernel, which takes minutes. The log of the
    serial console is kept beside the output. If an adapter's dump is missing or may be partial,
    prints the reason; the exit code is then 5.

    With --traffic, what ethtool and debugfs said just before the crash is kept beside the output.
    """
    from vmcoredd.qemu import kdump as flow

    of_cards = {"wire": wire, "pcap": pcap, "fault": fault, "seed": seed, "scene": scene}
    of_cards["map_window"] = map_window
    check_adapters(card, socket, of_cards | {"traffic": traffic})
    cards = named_cards(card or [])
    with writing(output):
        flow.check_outputs(output, traffic=traffic, force=force)
    wires = wire or (own_wires(cards) if traffic else [])
    if traffic:
        wires_inside(wires)
    scene = scene or ("fresh" if traffic else "crashed")
    mapped = not wires if map_window is None else map_window
    setup = Setup(
        *(cards, seed, scene, mapped, wires, pcap or ()),
        force=force,
        sockets=socket or (),
        faults=fault or (),
    )
    with serving(setup) as (adapters, loaded):
        joined = joined_interfaces(wires, loaded) if traffic else ()
        prepared = _prepared(kernel, module, dump=True)
        with preparing() as progress:
            report = flow.run(
                adapters,
                output,
                flow=flow.Flow(traffic=joined, remedy=remedy, notes_only=notes_only),
                options=_options(kernel, memory_for(cards, memory, up=traffic), crashkernel),
                force=force,
                on_stage=holding_outside(list(loaded.values())),
                progress=progress,
                prepared=prepared,
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
                "before": str(report.before) if report.before else None,
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
        if report.before:
            out.print(f"{report.before}: what the kernel said before the crash", markup=False)
    for verdict in report.missing:
        _warn(f"{verdict.name} is missing: {verdict.reason}", f"next: {verdict.remedy}")
    for verdict in report.partial:
        _warn(f"{verdict.name} {verdict.reason}", f"next: {verdict.remedy}")
    if report.missing or report.partial:
        _warn(f"the console's log: {report.console}")


def _warn(*lines: str) -> None:
    err.print(visible_lines("\n  ".join(lines)), markup=False)


@app.command(
    epilog="Examples: `vmcoredd guest shell --card t62100-cr`; "
    "`vmcoredd guest shell --kernel debian:6.12 --card a=t62100-cr --card b=t520-cr "
    "--wire a.0=b.0`"
)
def shell(
    card: CardsIfAny = None,
    socket: Sockets = None,
    wire: Wires = None,
    pcap: Captures = None,
    fault: FaultsOfCards = None,
    force: ForceCaptures = False,
    seed: FirstSeed = 0,
    scene: OwnScene = None,
    kernel: Kernel = "6.1",
    module: Module = None,
    memory: MemoryForCards = None,
    map_window: MapWindow = None,
    driver: DriverOrNot = None,
    root: HostFolders = None,
    console: Console = Path("guest.console"),
    monitor: NewSocket = None,
    gdb: Gdb = None,
    share: Share = None,
) -> None:
    """Open a shell in a guest on this terminal; `exit` or ^A x ends it."""
    from vmcoredd.qemu.kernels import is_stock
    from vmcoredd.qemu.program import Debugging
    from vmcoredd.qemu.session import run_shell

    of_cards = {"wire": wire, "pcap": pcap, "fault": fault, "seed": seed, "scene": scene}
    of_cards["map_window"] = map_window
    check_adapters(card, socket, of_cards)
    cards, stock, sockets = named_cards(card or []), is_stock(kernel), socket or ()
    scene, mapped = scene or "fresh", bool(map_window)
    setup = Setup(
        *(cards, seed, scene, mapped, wire or (), pcap or (), stock, force, sockets, fault or ())
    )
    driver = stock if driver is None else driver
    with serving(setup) as (adapters, _):
        size, debugging = memory_for(setup.cards, memory), Debugging(monitor, gdb)
        prepared = _prepared(kernel, module, driver=driver)
        options = replace(_options(kernel, size), root=_root(prepared.kernel, root))
        _tell(_debuggers(prepared.kernel, debugging))
        here = share or f"kept as {console.parent / 'guest.share'} when it ends"
        err.print(f"the guest's /share: {here}", markup=False)
        code = run_shell(
            adapters,
            options=options,
            driver=driver,
            console=console,
            debugging=debugging,
            share=share,
            on_saved=lambda path: err.print(f"saved from the guest: {path}", markup=False),
            prepared=prepared,
        )
    if code:
        raise typer.Exit(Exit.FAILED)


@app.command(
    epilog="Examples: `vmcoredd guest run --kernel debian:6.12 --card t62100-cr --wire 0=1 "
    "--script ping.sh`; `vmcoredd guest run --kernel . --driver --ktap --card t62100-cr "
    "--script test.sh`"
)
def run(
    script: Annotated[
        Path,
        typer.Option(
            help="The script or program to run in the guest.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    card: CardsIfAny = None,
    socket: Sockets = None,
    wire: Wires = None,
    pcap: Captures = None,
    fault: FaultsOfCards = None,
    force: ForceCaptures = False,
    seed: FirstSeed = 0,
    scene: OwnScene = None,
    kernel: Kernel = "6.1",
    module: Module = None,
    memory: MemoryForCards = None,
    map_window: MapWindow = None,
    driver: DriverOrNot = None,
    root: HostFolders = None,
    seconds: Annotated[
        float, typer.Option(help="The script's time limit in seconds.", min=1)
    ] = 900.0,
    console: Console = Path("guest.console"),
    monitor: NewSocket = None,
    gdb: Gdb = None,
    ktap: Annotated[
        bool,
        typer.Option(
            "--ktap",
            help="Print KTAP: the script is a test. The exit code is 0, 1 if it fails, 125 if the "
            "kernel cannot be tried, 128 if the line is wrong or this machine lacks something, as "
            "`git bisect run` wants it.",
        ),
    ] = False,
) -> None:
    """Run a script in a guest, and pass on its output and exit code.

    Under `git bisect run` use --ktap: without it, git takes wrong usage (2) for a bad commit.
    """
    from vmcoredd.cli.ktap import run_as_test
    from vmcoredd.qemu.kernels import is_stock
    from vmcoredd.qemu.program import Debugging
    from vmcoredd.qemu.session import run_script

    of_cards = {"wire": wire, "pcap": pcap, "fault": fault, "seed": seed, "scene": scene}
    of_cards["map_window"] = map_window
    check_adapters(card, socket, of_cards)
    cards, stock, sockets = named_cards(card or []), is_stock(kernel), socket or ()
    scene, mapped = scene or "fresh", bool(map_window)
    setup = Setup(
        *(cards, seed, scene, mapped, wire or (), pcap or (), stock, force, sockets, fault or ())
    )
    driver = stock if driver is None else driver
    debugging = Debugging(monitor, gdb)

    def attempt(
        on_output: Callable[[str], None], on_booted: Callable[[], None] = lambda: None
    ) -> int:
        with serving(setup) as (adapters, _):
            size = memory_for(setup.cards, memory)
            prepared = _prepared(kernel, module, driver=driver)
            options = replace(_options(kernel, size), root=_root(prepared.kernel, root))
            _tell(_debuggers(prepared.kernel, debugging))
            with preparing() as progress:
                result = run_script(
                    adapters,
                    script,
                    options=options,
                    driver=driver,
                    seconds=seconds,
                    console=console,
                    debugging=debugging,
                    on_booted=on_booted,
                    on_output=on_output,
                    progress=progress,
                    prepared=prepared,
                )
        return result.code

    if ktap:
        raise typer.Exit(run_as_test(script.name, attempt))
    raise typer.Exit(attempt(lambda text: print(text, end="", flush=True)))


@app.command(epilog="Example: `vmcoredd guest live --card t62100-cr --panic -o vmcore`")
def live(
    card: Cards,
    output: OutputVmcore,
    panic: Annotated[bool, typer.Option("--panic", help="Panic the guest first.")] = False,
    driver: Driver = False,
    fault: FaultsOfCards = None,
    seed: FirstSeed = 0,
    scene: OwnScene = None,
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
    from vmcoredd.qemu.kernels import is_stock

    with writing(output):
        vmcore.check_output(output, force=force, stream=False)
    scene = scene or ("fresh" if driver else "crashed")
    named = named_cards(card)
    setup = Setup(named, seed, scene, root_ports=is_stock(kernel), faults=fault or ())
    with serving(setup) as (adapters, cards), tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        requests = [
            Request(name, one.profile, functools.partial(open_card, cards[one.name]), scene=scene)
            for name, one in zip(dump_names([], len(card)), named, strict=True)
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
    monitor: ASocket,
    output: OutputVmcore,
    force: Force = False,
) -> None:
    """Write the memory of a running or panicked guest as a vmcore, for `vmcoredd dump --base`."""
    from vmcoredd.qemu.live import dump_memory

    with preparing() as progress:
        dump_memory(monitor, output, force=force, progress=progress)
    out.print(f"{output}: add device dumps with `vmcoredd dump --base {output}`", markup=False)


def _prepared(
    kernel: str, module: Path | None, *, driver: bool = False, dump: bool = False
) -> Prepared:
    """Prepares guests; warns if the user's kernel has no configuration that can be checked."""
    from vmcoredd.qemu.kernels import is_path
    from vmcoredd.qemu.prepare import prepare

    with preparing() as progress:
        prepared = prepare(kernel, progress, module=module, driver=driver, dump=dump)
    if is_path(kernel) and not prepared.kernel.config:
        _tell(
            [f"{kernel} has no configuration to read: if it lacks something, its guest will hang"]
        )
    return prepared


def _root(kernel: GuestKernel, folders: list[str] | None) -> Root:
    """Returns what of the host a guest can read, and says it."""
    from vmcoredd.qemu.root import find_root

    with preparing() as progress:
        found = find_root(host_folders(folders), progress).with_modules(kernel)
    _tell(found.described())
    return found


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        err.print(visible_lines(line), markup=False)


def _debuggers(kernel: GuestKernel, debugging: Debugging) -> Iterator[str]:
    """Yields what to type to debug a guest."""
    symbols = [shlex.quote(str(path)) for path in kernel.symbols]
    if debugging.monitor:
        options = "".join(f" -s {path}" for path in symbols)
        yield f"to debug it: drgn --qemu {shlex.quote(str(debugging.monitor.absolute()))}{options}"
    if debugging.gdb:
        remote = shlex.quote(f"target remote {debugging.gdb.absolute()}")
        yield " ".join(["to debug it: gdb -ex", remote, *symbols[:1]])
    if not symbols and (debugging.monitor or debugging.gdb):
        yield f"its symbols are in {kernel.symbols_are_in}"


def _options(kernel: str, memory: str, crashkernel: str = "256M") -> Options:
    from vmcoredd.qemu.prepare import Options

    return Options(kernel=kernel, memory=memory, crashkernel=crashkernel)
