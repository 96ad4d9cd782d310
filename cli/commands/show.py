"""`vmcoredd show`: decodes a device dump."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.notes import described
from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.foreign import (
    decodable_dumps,
    is_foreign,
    others_record,
    say_foreign,
    show_foreign,
    what_to_do,
)
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.options import (
    Changed,
    Everything,
    Grep,
    InputVmcore,
    Json,
    NonZero,
    ShownBlock,
    ShownEntities,
    ShownField,
    ShownRegisters,
    choose,
    choose_entity,
)
from vmcoredd.cli.output import emit_json, err, out, size, table, visible
from vmcoredd.cli.pager import paged
from vmcoredd.cli.trouble import Trouble
from vmcoredd.cli.verdict import print_activity, print_others, print_verdict, worst_in_words
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore
    from vmcoredd.cli.registers import Selection
    from vmcoredd.cudbg.decoded import Allowance, Bytes

EXAMPLES = """Examples: `vmcoredd show vmcore` - list the entities;
`vmcoredd show vmcore --entity DEV_LOG --entity CIM_QCFG` - decode two of them;
`vmcoredd show vmcore --register 'SGE_INT_*' --nonzero` - registers by name;
`vmcoredd show vmcore --entity all --json` - decode everything, for programs;
`vmcoredd show vmcore --entity MC0 --hexdump TCBs` - a region of a memory;
`vmcoredd show vmcore --entity REG_DUMP --raw > reg_dump.bin`"""
ROWS_MOST = 100_000
"""Several times what a dump of a large adapter has."""
_PIECE = 1 << 20


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(show)


def show(
    path: InputVmcore,
    index: Annotated[
        int | None, typer.Option(help="The note's index; the first device dump by default.")
    ] = None,
    entity: ShownEntities = None,
    hexdump: Annotated[
        str | None,
        typer.Option(
            metavar="REGION",
            help="Print this region of the --entity, a memory, in hex; without --hexdump, `show` "
            "lists its regions.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the entity's raw bytes to stdout.")
    ] = False,
    rows: Annotated[
        int,
        typer.Option(min=0, help="Decode at most so many rows and lines in all; 0 is no limit."),
    ] = ROWS_MOST,
    register: ShownRegisters = None,
    field: ShownField = None,
    block: ShownBlock = None,
    nonzero: NonZero = False,
    changed: Changed = False,
    grep: Grep = None,
    everything: Everything = False,
    json: Json = False,
) -> None:
    """List the entities of a device dump, decode some, or show registers.

    Skips a damaged entity and describes the damage on stderr; the exit code is then 3. It is 5 if
    something that the adapter has is missing or partial, or if an entity cannot be decoded because
    this version does not know its format, chip or byte order: `--raw` writes such an entity.
    On a terminal, long output goes through $PAGER; leaving it early does not change the exit code.
    """
    from vmcoredd.cudbg.decoded import Allowance

    trouble, allowed = Trouble(), Allowance(rows or None)
    wanted = _selection(register, field, block, nonzero, changed, grep)
    if wanted and (raw or hexdump is not None):
        raise typer.BadParameter(
            "it shows the bytes of an entity, not registers", param_hint="--raw"
        )
    with about(path), opened(path) as reader:
        note = first_dump(reader, index, "--index")
        if is_foreign(reader, note):
            if entity or hexdump or raw or wanted:
                what = "another driver's device dump has no entities"
                raise typer.BadParameter(f"{what}; {what_to_do(note, path)}", param_hint="--index")
            show_foreign(reader, note, path, json=json)
            return
        dump = dump_of(reader, note)
        if dump.cut:
            trouble.damage["headers"] = dump.cut
        names = _names(dump, entity or [])
        if hexdump is not None:
            hexdump = _region(dump, names, hexdump, trouble)
        if raw:
            _raw(dump, names)
        elif json:
            summary = {"file": str(path), **_summary(note, dump), **others_record(reader)}
            content = _content(dump, names, wanted, allowed, trouble)
            emit_json("show", {**summary, "rows_left_out": allowed.exceeded, **content})
        else:
            with paged():
                if wanted or names:
                    _show(dump, names, wanted, trouble, allowed, hexdump, everything=everything)
                else:
                    others = [] if index is not None else decodable_dumps(reader)
                    _first_screen(note, dump, trouble, partial(_worst, reader), others)
        if not names and not wanted:
            say_foreign(reader, path)
    if allowed.exceeded:
        err.print(
            f"only the first {counted(rows, 'row is', 'rows are')} shown: --rows 0 shows all",
            markup=False,
        )
    if not names and not wanted:
        report_unknowns(dump, path)
    trouble.report(path)
    if any(entity.is_incomplete for entity in _asked_for(dump, names, wanted)):
        raise typer.Exit(Exit.INCOMPLETE)


def _selection(*options: Any) -> Selection | None:
    """Returns the registers that the options select; None if no option is given."""
    if not any(option not in (None, False, []) for option in options):
        return None
    from vmcoredd.cli.registers import Selection

    registers, *others = options
    return Selection(tuple(registers or ()), *others)


def _asked_for(
    dump: cudbg.Dump, names: list[str], wanted: Selection | None
) -> list[cudbg.DumpEntity]:
    """Returns the entities that the command was asked to show."""
    if wanted:
        from vmcoredd.cli.registers import entities_of

        names = entities_of(dump, names)
    return [entity for entity in dump.entities if not (names or wanted) or entity.name in names]


def report_unknowns(dump: cudbg.Dump, path: Path) -> None:
    """Says what is not known of an intact dump in the file `path`."""
    for unknown in dump.unknowns:
        report(unknown, path)


def first_dump(reader: vmcore.Reader, index: int | None, option: str) -> vmcore.Note:
    """Returns note `index`, given with `option`, or the first device dump: of one that can be
    decoded if there is one, else of another driver.

    Raises BadParameter if there is none, or the damage that may be the reason.
    """
    if index is not None:
        with about(option):
            return _device_dump(reader, index, option)
    if not reader.device_dumps and reader.damage:
        raise reader.damage[0]
    if not reader.device_dumps:
        what = "it holds no device dump; `vmcoredd notes` lists what it holds"
        raise typer.BadParameter(what, param_hint=str(reader.path))
    return (decodable_dumps(reader) or reader.device_dumps)[0]


def _device_dump(reader: vmcore.Reader, index: int, option: str) -> vmcore.Note:
    note = reader.note(index)
    if not note.is_device_dump:
        what = f"note {index} is not a device dump but {visible(str(note.owner))} {note.type_name}"
        raise typer.BadParameter(f"{what}; `vmcoredd notes` lists the notes", param_hint=option)
    return note


def _names(dump: cudbg.Dump, wanted: list[str]) -> list[str]:
    present = {entity.number: entity.name for entity in dump.entities}
    names = [choose_entity(name, dump.names | present, ("all",)) for name in wanted]
    return [*present.values()] if "all" in names else [dump.entity(name).name for name in names]


def _region(dump: cudbg.Dump, names: list[str], region: str, trouble: Trouble) -> str:
    """Returns the region of the named entities' memories that `region` names."""
    from vmcoredd.cudbg.decoded import Hexdump

    regions: list[str] = []
    for name in names:
        if dump.entity(name).good:
            with trouble.of(name):
                memories = (part for part in dump.decode(name) if isinstance(part, Hexdump))
                regions += (item.name for memory in memories for item in memory.regions)
    if not regions and (trouble.damage or trouble.unknown):
        return region
    if not regions:
        raise typer.BadParameter("--entity names no memory", param_hint="--hexdump")
    return choose(region, regions, "--hexdump", "region")


def _raw(dump: cudbg.Dump, names: list[str]) -> None:
    """Writes the raw bytes, or the packed ones if it is not known how to unpack them."""
    from vmcoredd import cudbg

    if len(names) != 1:
        raise typer.BadParameter("--raw takes exactly one --entity", param_hint="--raw")
    (name,) = names
    try:
        _write(dump.blob(name))
    except cudbg.UnknownFormat as error:
        _write(dump.packed(name))
        raise cudbg.UnknownFormat(f"{name} is written as it is in the dump: {error}") from error


def _write(blob: Bytes) -> None:
    import sys

    for at in range(0, len(blob), _PIECE):
        sys.stdout.buffer.write(blob[at : at + _PIECE])


def _show(
    dump: cudbg.Dump,
    names: list[str],
    wanted: Selection | None,
    trouble: Trouble,
    allowed: Allowance,
    hexdump: str | None,
    *,
    everything: bool,
) -> None:
    from vmcoredd.cli import render

    view = render.View(allowed, hexdump, everything)
    if wanted:
        from vmcoredd.cli.registers import show_registers

        show_registers(dump, names, wanted, view, trouble)
        return
    for name in names:
        entity = dump.entity(name)
        out.say(f"{name} (entity {entity.number})", style="bold underline")
        if not entity.good:
            out.print(f"  not in the dump: {entity.reason}", markup=False)
        else:
            found = trouble.decoded(dump, name)
            if name in trouble.damage:
                out.say(f"  damaged: {trouble.damage[name].removeprefix(f'{name}: ')}")
            if found:
                with trouble.of(name):
                    render.show(found, view)
        if name in trouble.unknown:
            out.say(f"  not decoded: {trouble.unknown[name]}")
        render.say_hidden(view)
        out.print()


def _summary(note: vmcore.Note, dump: cudbg.Dump) -> dict[str, Any]:
    return {
        "index": note.index,
        "name": note.name,
        **described(dump),
    }


def _content(
    dump: cudbg.Dump,
    names: list[str],
    wanted: Selection | None,
    allowed: Allowance,
    trouble: Trouble,
) -> dict[str, Any]:
    """Returns what was asked for: registers, the contents of entities, or the list of entities.

    With registers, `entities` has only those whose registers cannot all be read.
    """
    if wanted is None:
        chosen, content = _asked_for(dump, names, wanted), allowed if names else None
        return {"entities": [_record(dump, entity, content, trouble) for entity in chosen]}
    from vmcoredd.cli.registers import register_records

    registers = register_records(dump, names, wanted, allowed, trouble)
    searched = _asked_for(dump, names, wanted)
    unread = [entity for entity in searched if not entity.good or entity.name in trouble.names]
    return {"entities": [_record(dump, e, None, trouble) for e in unread], **registers}


def _record(
    dump: cudbg.Dump, entity: cudbg.DumpEntity, allowed: Allowance | None, trouble: Trouble
) -> dict[str, Any]:
    record: dict[str, Any] = {**entity.json(), "raw_size_bytes": 0}
    if entity.good:
        with trouble.of(entity.name):
            record["raw_size_bytes"] = dump.checked_size(entity.name)
        if allowed and (found := trouble.decoded(dump, entity.name)):
            with trouble.of(entity.name):
                record["decoded"] = found.json(allowed)
    record["damage"] = trouble.damage.get(entity.name)
    record["not_decoded"] = trouble.not_decoded(entity.name)
    return record


def _first_screen(
    note: vmcore.Note,
    dump: cudbg.Dump,
    trouble: Trouble,
    worst: Callable[[vmcore.Note], str],
    dumps: list[vmcore.Note],
) -> None:
    """Prints the verdict, what is wrong with the other `dumps`, what the card was busy with, and
    the list of the entities."""
    from vmcoredd import diagnosis

    verdict = diagnosis.diagnose(dump)
    print_verdict(verdict, brief=True)
    print_others([other for other in dumps if other.index != note.index], worst)
    print_activity(verdict)
    out.print()
    trouble.damage |= _own_damage(verdict.damage)
    _list(note, dump, trouble)


def _own_damage(lines: tuple[str, ...]) -> dict[str, str]:
    """Returns the damage that a verdict has met, by entity: without that of the entities which
    explain another."""
    named = {line.partition(": ")[0]: line for line in lines}
    return {
        name: line
        for name, line in named.items()
        if line.removeprefix(f"{name}: ").partition(": ")[0] not in named
    }


def _worst(reader: vmcore.Reader, note: vmcore.Note) -> str:
    from vmcoredd import cudbg, diagnosis

    try:
        return worst_in_words(diagnosis.diagnose(dump_of(reader, note)))
    except cudbg.DumpFormatError as error:
        return f"cannot be judged: {error}"


def _list(note: vmcore.Note, dump: cudbg.Dump, trouble: Trouble) -> None:
    rows = [_row(dump, entity, trouble) for entity in dump.entities]
    title = f"{note.name}: {dump.adapter}, format {dump.version}"
    title += f", compression {dump.compression}"
    table(title, ("#", "entity", "raw", "in the dump", "status (the driver's)"), rows)


def _row(dump: cudbg.Dump, entity: cudbg.DumpEntity, trouble: Trouble) -> tuple[object, ...]:
    raw, status = "", "damaged"
    if not entity.good:
        status = entity.status
    else:
        with trouble.of(entity.name):
            count, status = dump.checked_size(entity.name), entity.status
            raw = "" if count is None else size(count)
    if entity.name in trouble.damage:
        status = "damaged"
    return entity.number, entity.name, raw, size(entity.size), status
