"""`vmcoredd dump`: dumps adapters into a vmcore, as a crash kernel does."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli import real_adapters
from vmcoredd.cli.exit_codes import Exit, about, failure_of, writing
from vmcoredd.cli.exit_codes import report as report_error
from vmcoredd.cli.options import (
    CollectedEntities,
    Compression,
    Faults,
    Force,
    Json,
    OptionalCards,
    Scene,
    Seed,
    StreamedVmcore,
    path_or_name,
)
from vmcoredd.cli.output import (
    collecting,
    copying,
    emit_json,
    err,
    leave_stdout_to,
    out,
    size,
    table,
)
from vmcoredd.cli.raising import From, FromIndex, check_index, raised_from
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import vmcore
    from vmcoredd.cudbg import Collected
    from vmcoredd.driver.adapter import Adapter
    from vmcoredd.driver.dump_all import Outcome, Request

EXAMPLES = """Examples: `vmcoredd dump --socket /run/t6.sock --socket /run/t5.sock -o vmcore`;
`vmcoredd dump --card t520-cr --fault parity-tp -o vmcore` - emulates the adapter itself;
`vmcoredd dump --socket /run/t6.sock --base /var/crash/vmcore -o vmcore`;
`vmcoredd dump --from vmcore -o again` - of a card raised from a dump;
`vmcoredd dump --pci 0000:01:00.4 -o vmcore` - of a real adapter of this machine"""
FIRST_SLOT = 2
"""The slot of the first adapter on QEMU's root bus: 00:02.0."""
SLOTS = 32
"""Devices on a PCI bus."""
BESIDE_MOST = 4
"""Adapters in a table: more would break their values into pieces."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(dump)


def dump(
    output: StreamedVmcore,
    socket: Annotated[
        list[Path] | None, typer.Option(help="The vfio-user socket of an adapter; repeatable.")
    ] = None,
    card: OptionalCards = None,
    from_: From = None,
    index: FromIndex = None,
    pci: real_adapters.Pci = None,
    via: real_adapters.Via = None,
    attach: real_adapters.Attach = False,
    yes_while_in_use: real_adapters.InUse = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="A dump's name (default: cxgb4_ and the adapter's PCI address, 0000:00:02.0 and "
            "so on for emulated ones); repeatable."
        ),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The vmcore to add the dumps to (default: a minimal one).")
    ] = None,
    compress: Compression = "zlib",
    entity: CollectedEntities = None,
    seed: Seed = 0,
    scene: Scene = "crashed",
    fault: Faults = None,
    deadline: Annotated[float, typer.Option(help="Seconds to wait for a server's reply.")] = 5.0,
    trace: Annotated[
        bool, typer.Option("--trace", help="Print every register access, decoded, on stderr.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Probe adapters, dump each into its own note, and write a vmcore.

    If an adapter dies during its dump, keeps the entities collected so far. The summary lists the
    entities that are missing, with reasons; the exit code is then 5. Those that the adapter does
    not have are absent, not missing. The summary also counts time-outs: an entity may be complete
    despite them.

    With --from, raises a card from a dump and dumps it again, as the driver that made the dump:
    with what that knew of its own.

    With --pci, reads a real adapter of this machine and writes nothing to it but what a dump needs.
    """
    from vmcoredd import vmcore

    check_index(from_, index)
    real_adapters.check_options(pci or [], via, attach=attach, in_use=yes_while_in_use)
    sources = [*(socket or []), *(card or []), *([from_] if from_ else []), *(pci or [])]
    _check(sources)
    if fault and not card:
        what = "it needs --card; a served adapter takes faults from its own server"
        raise typer.BadParameter(what, param_hint="--fault")
    openers = [_socket(path, deadline, trace) for path in socket or []]
    openers += [_card(profile, seed, scene, fault or (), trace) for profile in card or []]
    if from_:
        openers.append(_raised(from_, index, trace))
    openers += [
        real_adapters.opener(address, via, attach=attach, in_use=yes_while_in_use, trace=trace)
        for address in pci or []
    ]
    with writing(output):
        vmcore.check_output(output, force=force)
    if json and vmcore.is_stdout(output):
        raise typer.BadParameter("the vmcore goes to stdout; give it a file", param_hint="--json")
    leave_stdout_to(output)
    opened = open_base(base) if base else None
    names = dump_names(name or [], len(sources), opened.names if opened else (), pci or ())
    scenes = [None] * len(socket or []) + [scene] * len(card or [])
    scenes += [None] * (len(sources) - len(scenes))
    requests = _requests(names, sources, openers, scenes, compress, entity)
    collect_and_write(requests, output, opened, force=force, json=json)


def collect_and_write(
    requests: list[Request],
    output: Path,
    base: Base | None,
    *,
    force: bool,
    json: bool,
    command: str = "dump",
) -> None:
    """Dumps the adapters, writes the vmcore, and reports the outcome as `command` does."""
    from vmcoredd import vmcore
    from vmcoredd.driver.dump_all import dump_all

    context = base.core if base else None
    dumps = vmcore.DeviceDumps(context)
    with collecting([request.source for request in requests]) as progress:
        outcomes = dump_all(requests, dumps, progress)
    if dumps.dumps:
        with writing(output), copying(output.name) as advance:
            total = vmcore.write(output, dumps, base=context, force=force, progress=advance)
    else:
        total = 0
    earlier = len(base.names) if base else 0
    records = [_record(outcome) for outcome in outcomes]
    report(outcomes, records, output, total, earlier, json=json, command=command)


def report(
    outcomes: list[Outcome],
    records: list[dict[str, Any]],
    output: Path,
    total: int,
    earlier: int,
    *,
    json: bool,
    command: str,
) -> None:
    """Prints the outcome. Raises typer.Exit with the exit code unless every dump is complete.

    `records` has an outcome's `_record` each; `total` is the vmcore's size in bytes, `earlier` the
    number of device dumps of its base.
    """
    if json:
        written = str(output) if total else None
        count = earlier + _made(records) if total else 0
        summary = {"output": written, "size_bytes": total, "device_dumps": count}
        emit_json(command, {**summary, "adapters": records})
    elif total:
        print_summary(records)
        out.print(f"{output}: {size(total)}, {_dumps(_made(records), earlier)}", markup=False)
    for outcome in outcomes:
        _print_error(outcome)
    if not total:
        first = next(outcome.error for outcome in outcomes if outcome.error)
        failure = failure_of(first)
        raise typer.Exit(failure.code if failure else Exit.FAILED)
    if not all(record["complete"] for record in records):
        raise typer.Exit(Exit.INCOMPLETE)


def print_summary(records: list[dict[str, Any]]) -> None:
    """Prints tables of the adapters, and the entities missing from each dump."""
    made = [record for record in records if record["good"] is not None]
    for some in (made[at : at + BESIDE_MOST] for at in range(0, len(made), BESIDE_MOST)):
        columns = ["device dump", *(record["name"] for record in some)]
        rows = [(title, *map(value, some)) for title, value in _ROWS]
        table("", columns, rows if any(record["scene"] for record in made) else rows[:-1])
    for record in made:
        for line in _lines(record):
            out.say(f"{record['name']}: {line}")


def _lines(record: dict[str, Any]) -> Iterator[str]:
    """Yields what is to be said of the entities of a dump that are not just good."""
    for entity in record["missing"]:
        yield f"{entity['name']} is not in the dump: {entity['reason']}"
    for entity in record["partial"]:
        yield f"{entity['name']} is partial, {entity['reason']}"
    absent: dict[str, list[str]] = defaultdict(list)
    for entity in record["absent"]:
        absent[entity["reason"]].append(entity["name"])
    for reason, names in absent.items():
        yield f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} absent: {reason}"
    for late in record["timeouts"]:
        yield f"{late['entity']}: {counted(late['times'], 'time-out')}"
    for lost in record["reconnected"]:
        times = counted(lost["times"], "time")
        yield f"connection lost in {lost['entity']} and made again, {times}"


def _memories(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {size(count)}" for name, count in record["memory_bytes"].items())


_ROWS: tuple[tuple[str, Callable[[dict[str, Any]], object]], ...] = (
    ("adapter", lambda record: record["adapter"] or ""),
    ("chip", lambda record: record["chip"] or ""),
    ("serial number", lambda record: record["serial"] or ""),
    ("firmware", lambda record: record["firmware"] or ""),
    ("memories", _memories),
    ("entities good", lambda record: record["good"]),
    ("  of them partial", lambda record: len(record["partial"])),
    ("entities missing", lambda record: len(record["missing"])),
    ("entities absent", lambda record: len(record["absent"])),
    ("time-outs", lambda record: sum(late["times"] for late in record["timeouts"])),
    ("bytes", lambda record: record["data_bytes"]),
    ("seconds", lambda record: f"{record['elapsed_seconds']:.2f}"),
    ("scene", lambda record: record["scene"] or ""),
)
"""The rows of the summary: title, and value for an adapter. The last is for emulated ones."""


def _check(sources: list[Any]) -> None:
    if not sources:
        raise typer.BadParameter("give at least one --socket, --card, --from or --pci")


@dataclass(frozen=True)
class Base:
    """A vmcore to add dumps to, and the names of its device dumps."""

    core: vmcore.ElfCore
    names: tuple[str, ...]


def open_base(path: Path) -> Base:
    """Opens the vmcore to add dumps to. Raises as `vmcore.ElfCore.open` and `vmcore.Reader`."""
    from vmcoredd import vmcore

    with about(path):
        core = vmcore.ElfCore.open(path)
        with vmcore.Reader(path) as reader:
            return Base(core, tuple(note.name or "" for note in reader.device_dumps))


def dump_names(
    given: list[str], count: int, taken: Collection[str] = (), real: Sequence[str] = ()
) -> list[str]:
    """Returns the given names, then names for the next PCI addresses; none that is `taken`.

    The last of the `count` adapters are those at the `real` addresses.
    """
    from vmcoredd.driver import dump_name

    if len(given) > count:
        raise typer.BadParameter(
            f"{counted(len(given), 'name')} for {counted(count, 'adapter')}", param_hint="--name"
        )
    for number, name in enumerate(given):
        _check_name(name, given[:number], taken)
    own = [dump_name(address) for address in real][max(len(given) - (count - len(real)), 0) :]
    for name in own:
        _check_name(name, given, taken)
    addresses = itertools.islice(_pci_addresses(), len(given), None)
    names = (name for name in map(dump_name, addresses) if name not in {*given, *taken, *own})
    return [*given, *itertools.islice(names, count - len(given) - len(own)), *own]


def _check_name(name: str, before: list[str], taken: Collection[str]) -> None:
    from vmcoredd.vmcore.elf import VMCOREDD_MAX_NAME_BYTES

    problem = None
    if not 0 < len(name.encode()) <= VMCOREDD_MAX_NAME_BYTES:
        most = f"1 to {VMCOREDD_MAX_NAME_BYTES} bytes, not {len(name.encode())}"
        problem = f"a name has {most}"
    elif name in before:
        problem = f"{name} was given twice"
    elif name in taken:
        problem = f"the base has a device dump called {name}"
    if problem:
        raise typer.BadParameter(problem, param_hint="--name")


def _pci_addresses() -> Iterator[str]:
    """Yields the addresses of free slots, as Linux writes them, in the order of QEMU's buses."""
    for domain, bus in itertools.product(range(1 << 16), range(1 << 8)):
        for slot in range(0 if domain or bus else FIRST_SLOT, SLOTS):
            yield f"{domain:04x}:{bus:02x}:{slot:02x}.0"


def _requests(
    names: list[str],
    sources: list[Any],
    openers: list[Any],
    scenes: list[str | None],
    compress: str,
    entities: list[str] | None,
) -> list[Request]:
    from vmcoredd.driver.dump_all import Request

    return [
        Request(name, str(source), opener, compress, entities or None, scene)
        for name, source, opener, scene in zip(names, sources, openers, scenes, strict=True)
    ]


def _socket(path: Path, deadline: float, trace: bool) -> Any:
    from vmcoredd import driver
    from vmcoredd.driver.dump_all import Served

    if not trace:
        return Served(path, deadline)

    def open_traced() -> Adapter:  # its lines are printed between this process's progress bars
        return driver.open(path, deadline=deadline, trace=err.say)

    return open_traced


def _card(profile: str, seed: int, scene: str, faults: Iterable[str], trace: bool) -> Any:
    from vmcoredd import emu

    card = emu.Card.load(path_or_name(profile), seed, scene=scene, faults=faults)

    def open_adapter() -> Adapter:
        from vmcoredd import driver

        return driver.open_card(card, trace=err.say if trace else None)

    return open_adapter


def _raised(path: Path, index: int | None, trace: bool) -> Any:
    raised = raised_from(path, index)
    return lambda: raised.open(trace=err.say if trace else None)


def _record(outcome: Outcome) -> dict[str, Any]:
    """Returns one adapter as a record for programs; sizes in bytes, times in seconds."""
    summary, made = outcome.summary, outcome.report
    entities = made.entities if made else []
    by_condition: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for status in _statuses(entities, outcome.dump.payload if outcome.dump else None):
        by_condition[status["condition"]].append(status)
    lost = by_condition["partial"] or by_condition["missing"]
    return {
        "name": outcome.request.name,
        "source": outcome.request.source,
        "scene": outcome.request.scene,
        "adapter": (summary.model or summary.product) if summary else None,
        "chip": f"{summary.chip} rev {summary.revision}" if summary else None,
        "serial": summary.serial if summary else None,
        "mac": summary.mac if summary else None,
        "firmware": summary.firmware if summary else None,
        "memory_bytes": dict(summary.memories) if summary else {},
        "good": len(made.good) if made else None,
        "failed": len(made.failed) if made else None,
        "partial": by_condition["partial"],
        "missing": by_condition["missing"],
        "absent": by_condition["absent"],
        "data_bytes": made.data_len if made else 0,
        "elapsed_seconds": round(made.seconds, 3) if made else None,
        "reconnected": [
            {"entity": entity.name, "times": entity.reconnects}
            for entity in entities
            if entity.reconnects
        ],
        "timeouts": [
            {"entity": entity.name, "times": entity.timeouts}
            for entity in entities
            if entity.timeouts
        ],
        "lost_from": (made.lost_from or None) if made else None,
        "error": str(_error(outcome) or "") or None,
        "complete": made is not None and not (made.dead or lost),
    }


def _statuses(entities: list[Collected], payload: memoryview | None) -> Iterator[dict[str, Any]]:
    """Yields the status of each entity, as the dump itself tells it, and a collector's bug."""
    from vmcoredd import cudbg

    if payload is None:
        return
    bugs = {entity.name: f", a bug: {entity.bug}" for entity in entities if entity.bug}
    for entity in cudbg.Dump(payload).entities:
        yield {
            "number": entity.number,
            "name": entity.name,
            "condition": str(entity.condition),
            "code": entity.code,
            "sys_err": entity.sys_err,
            "sys_warn": entity.sys_warn,
            "reason": entity.reason + bugs.get(entity.name, ""),
        }


def _print_error(outcome: Outcome) -> None:
    if error := _error(outcome):
        report_error(error, outcome.request.source)


def _error(outcome: Outcome) -> Exception | str | None:
    """Returns why an adapter has no dump, or since which entity of its dump there are no data."""
    made = outcome.report
    if made and made.dead:
        return f"no data from {made.lost_from} on: {made.dead}"
    return outcome.error


def _made(records: list[dict[str, Any]]) -> int:
    """Returns the number of device dumps that were made."""
    return sum(record["good"] is not None for record in records)


def _dumps(made: int, earlier: int) -> str:
    dumps = counted(made + earlier, "device dump")
    return f"{dumps}, {earlier} of them from the base" if earlier else dumps
