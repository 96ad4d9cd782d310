"""`vmcoredd dump`: adapters into a vmcore, as a crash kernel does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.emulate import path_or_name
from vmcoredd.cli.exit_codes import Exit, about, failure_of
from vmcoredd.cli.output import emit_json, err, out, size, table
from vmcoredd.cli.progress import collecting, copying

if TYPE_CHECKING:
    from vmcoredd import vmcore
    from vmcoredd.driver.adapter import Adapter
    from vmcoredd.driver.crash import Outcome, Request

EXAMPLES = """Examples: `vmcoredd dump --socket /run/t6.sock --socket /run/t5.sock -o vmcore`;
`vmcoredd dump --card t520-cr -o vmcore` - no server: the emulated adapter in this process;
`vmcoredd dump --socket /run/t6.sock --base /var/crash/vmcore -o vmcore`"""
FIRST_SLOT = 2
"""Where QEMU's root bus puts the first adapter: 00:02.0."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(dump)


def dump(
    output: Annotated[Path, typer.Option("--output", "-o", help="The vmcore to write.")],
    socket: Annotated[
        list[Path] | None, typer.Option(help="An adapter behind a vfio-user socket; repeatable.")
    ] = None,
    card: Annotated[
        list[str] | None, typer.Option(help="An emulated adapter in this process; repeatable.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="The dumps' names, in order; cxgb4_0000:00:02.0 and on by default."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="A vmcore to add the dumps to; a small one by default.")
    ] = None,
    compress: Annotated[str, typer.Option(help="zlib or none.")] = "zlib",
    entity: Annotated[
        list[str] | None, typer.Option(help="Only this entity; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the cards in this process.")] = 0,
    deadline: Annotated[float, typer.Option(help="Seconds to wait for a server's answer.")] = 5.0,
    trace: Annotated[
        bool, typer.Option("--trace", help="Print every register access, decoded, on stderr.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing vmcore.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Probe adapters, dump each into its note, and write a vmcore.

    An adapter that dies half way keeps what was collected; what is missing, and why, is in the
    dump, in the summary, and in the exit code (5).
    """
    from vmcoredd import vmcore

    sources = [*(socket or []), *(card or [])]
    _check(sources, compress)
    openers = [_socket(path, deadline, trace) for path in socket or []]
    openers += [_card(profile, seed, trace) for profile in card or []]
    names = pci_names(name or [], len(sources))
    vmcore.check_output(output, force=force)
    context = open_base(base) if base else None
    requests = _requests(names, sources, openers, compress, entity)
    collect_and_write(requests, output, context, force=force, json=json)


def collect_and_write(
    requests: list[Request],
    output: Path,
    context: vmcore.ElfCore | None,
    *,
    force: bool,
    json: bool,
) -> None:
    """Dumps the adapters, writes the vmcore, and reports."""
    from vmcoredd import vmcore
    from vmcoredd.driver.crash import dump_all

    dumps = vmcore.DeviceDumps(context)
    with collecting([request.source for request in requests]) as progress:
        outcomes = dump_all(requests, dumps, progress)
    if dumps.dumps:
        with copying(output.name) as advance:
            total = vmcore.write(output, dumps, base=context, force=force, progress=advance)
    else:
        total = 0
    report(outcomes, output, total, json=json)


def report(outcomes: list[Outcome], output: Path, total: int, *, json: bool) -> None:
    """What came of it, for people or for programs, and the exit code that says so."""
    records = [_record(outcome) for outcome in outcomes]
    if json:
        emit_json({"output": str(output) if total else None, "size": total, "adapters": records})
    elif total:
        summary(records)
        out.print(f"{output}: {size(total)}, {_dumps(records)}", markup=False)
    for outcome in outcomes:
        _complain(outcome)
    if not total:
        first = next(outcome.error for outcome in outcomes if outcome.error)
        failure = failure_of(first)
        raise typer.Exit(failure.code if failure else Exit.FAILED)
    if not all(record["complete"] for record in records):
        raise typer.Exit(Exit.INCOMPLETE)


def summary(records: list[dict[str, Any]]) -> None:
    """The table of adapters, and of each the entities that are not in its dump."""
    made = [record for record in records if record["good"] is not None]
    columns = ["device dump", *(record["name"] for record in made)]
    table("", columns, [(title, *map(say, made)) for title, say in _LINES])
    for record in made:
        for missing in record["missing"]:
            line = f"{record['name']}: {missing['name']} is not in the dump: {missing['reason']}"
            out.print(line, markup=False)


def _memories(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {size(count)}" for name, count in record["memories"].items())


_LINES: tuple[tuple[str, Callable[[dict[str, Any]], object]], ...] = (
    ("adapter", lambda record: record["adapter"] or ""),
    ("chip", lambda record: record["chip"] or ""),
    ("serial number", lambda record: record["serial"] or ""),
    ("firmware", lambda record: record["firmware"] or ""),
    ("memories", _memories),
    ("entities good", lambda record: record["good"]),
    ("entities failed", lambda record: record["failed"]),
    ("bytes", lambda record: record["bytes"]),
    ("seconds", lambda record: f"{record['seconds']:.2f}"),
)
"""What the summary says of each adapter."""


def _check(sources: list[Any], compress: str) -> None:
    if not sources:
        raise typer.BadParameter("name at least one --socket or --card")
    if compress not in ("zlib", "none"):
        raise typer.BadParameter(f"{compress} is neither zlib nor none", param_hint="--compress")


def open_base(path: Path) -> vmcore.ElfCore:
    from vmcoredd import vmcore

    with about(path):
        return vmcore.ElfCore.open(path)


def pci_names(given: list[str], count: int) -> list[str]:
    """The dumps' names: those given, then as QEMU's root bus numbers adapters."""
    from vmcoredd.driver import dump_name
    from vmcoredd.vmcore.elf import VMCOREDD_MAX_NAME_BYTES

    if len(given) > count:
        raise typer.BadParameter(f"{len(given)} names for {count} adapters", param_hint="--name")
    for name in given:
        if not 0 < len(name.encode()) <= VMCOREDD_MAX_NAME_BYTES:
            most = f"1 to {VMCOREDD_MAX_NAME_BYTES} bytes, not {len(name.encode())}"
            raise typer.BadParameter(f"a name has {most}", param_hint="--name")
    slots = range(FIRST_SLOT + len(given), FIRST_SLOT + count)
    return [*given, *(dump_name(f"0000:00:{slot:02x}.0") for slot in slots)]


def _requests(
    names: list[str],
    sources: list[Any],
    openers: list[Any],
    compress: str,
    entities: list[str] | None,
) -> list[Request]:
    from vmcoredd import cudbg
    from vmcoredd.cudbg.entity import entities as known_entities
    from vmcoredd.driver.crash import Request

    wanted = [item.upper() for item in entities or []] or None
    if unknown := set(wanted or ()) - known_entities().keys():
        raise cudbg.UnknownEntity(f"no entity is called {', '.join(sorted(unknown))}")
    return [
        Request(name, str(source), opener, compress, wanted)
        for name, source, opener in zip(names, sources, openers, strict=True)
    ]


def _socket(path: Path, deadline: float, trace: bool) -> Any:
    def open_adapter() -> Adapter:
        from vmcoredd import driver

        return driver.open(path, deadline=deadline, trace=_say if trace else None)

    return open_adapter


def _card(profile: str, seed: int, trace: bool) -> Any:
    from vmcoredd import emu

    card = emu.Card.load(path_or_name(profile), seed)

    def open_adapter() -> Adapter:
        from vmcoredd import driver

        return driver.open_card(card, trace=_say if trace else None)

    return open_adapter


def _say(line: str) -> None:
    err.print(line, markup=False)


def _record(outcome: Outcome) -> dict[str, Any]:
    """One adapter for programs; numbers are bytes and seconds."""
    told, made = outcome.summary, outcome.report
    return {
        "name": outcome.request.name,
        "source": outcome.request.source,
        "adapter": (told.model or told.product) if told else None,
        "chip": f"{told.chip} rev {told.revision}" if told else None,
        "serial": told.serial if told else None,
        "mac": told.mac if told else None,
        "firmware": told.firmware if told else None,
        "memories": dict(told.memories) if told else {},
        "good": len(made.good) if made else None,
        "failed": len(made.failed) if made else None,
        "missing": [_missing(entity) for entity in made.failed] if made else [],
        "bytes": made.data_len if made else 0,
        "seconds": round(made.seconds, 3) if made else None,
        "error": str(outcome.error or (made.dead if made else "")) or None,
        "complete": bool(made and not made.dead),
    }


def _missing(entity: Any) -> dict[str, Any]:
    from vmcoredd.cudbg import status

    reason = status.describe(entity.code)
    if entity.sys_err:
        reason += f", {status.describe(entity.sys_err)}"
    return {
        "number": entity.number,
        "name": entity.name,
        "code": entity.code,
        "sys_err": entity.sys_err,
        "reason": reason,
    }


def _complain(outcome: Outcome) -> None:
    if outcome.error:
        err.print(f"vmcoredd: {outcome.request.source}: {outcome.error}", markup=False)
    elif outcome.report and outcome.report.dead:
        err.print(f"vmcoredd: {outcome.request.source}: {outcome.report.dead}", markup=False)


def _dumps(records: list[dict[str, Any]]) -> str:
    count = sum(record["good"] is not None for record in records)
    return "1 device dump" if count == 1 else f"{count} device dumps"
