"""`vmcoredd report`: a page about device dumps that can be mailed, and files beside it."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmcoredd.cli.commands.diagnose import Judged, findings_record
from vmcoredd.cli.commands.show import first_dump
from vmcoredd.cli.exit_codes import Exit, about, writing
from vmcoredd.cli.exit_codes import report as report_error
from vmcoredd.cli.foreign import decodable_dumps, is_foreign, others_record
from vmcoredd.cli.inputs import dump_of, opened
from vmcoredd.cli.options import InputVmcore, Json, Redact
from vmcoredd.cli.output import emit_json, envelope, out, results_to, size
from vmcoredd.cli.redaction import Redaction
from vmcoredd.cli.trouble import Trouble
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore

EXAMPLES = """Examples: `vmcoredd report vmcore -o report` - then open report/index.html;
`vmcoredd report vmcore -o report --against healthy.vmcore` - with what a healthy card differs in;
`vmcoredd report vmcore -o report --redact` - with pseudonyms for keys, MACs and serials"""
EXCERPT_LINES = 60
"""Of each entity in words, in the page."""
PAGE, FINDINGS = "index.html", "findings.json"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(report)


def report(
    path: InputVmcore,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    index: Annotated[
        int | None, typer.Option(help="The note's index; all device dumps by default.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A dump of a healthy card of the same kind, to compare the others with."),
    ] = None,
    redact: Redact = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing report.")] = False,
    json: Json = False,
) -> None:
    """Make a report: index.html, findings.json, and one text file for each entity.

    The page works from a mail attachment: it needs no network, no server and no script. It has the
    verdict, the registers, memory, queues and ports as pictures, and the device log. Says what
    private data the report holds. The exit code is 3 if the file is damaged, 5 if a dump lacks
    something that the adapter has, or is left out by --redact.
    """
    from vmcoredd.cli.report.folder import check_folder, new_folder

    with writing(output):
        check_folder(output, force=force)
    with about(path), opened(path) as reader:
        made = _Report(reader, path, index, redact)
        made.compare(against)
        with writing(output), new_folder(output, force=force) as folder:
            made.write(folder)
    if json:
        emit_json("report", made.record(output))
    else:
        made.print(output)
    for line in made.not_compared + made.lost + made.damage:
        report_error(line, path)
    if made.damage:
        raise typer.Exit(Exit.BAD_FILE)
    if made.lost or made.not_compared or any(one.incomplete for one in made.judged):
        raise typer.Exit(Exit.INCOMPLETE)


class _Report:
    """What goes into the folder."""

    def __init__(self, reader: vmcore.Reader, path: Path, index: int | None, redact: bool) -> None:
        first = first_dump(reader, index, "--index")
        notes = list(reader.device_dumps) if index is None else [first]
        self._path, self._reader = path, reader
        self._redaction = Redaction() if redact else None
        self._twin: cudbg.Dump | None = None
        self._twin_name = ""
        self.not_compared: list[str] = []
        self._files = self._page_bytes = 0
        self._private: dict[str, None] = {}
        refused = self._redaction.learn(reader, notes) if self._redaction else {}
        self.lost = [f"note {i} is left out: {reason}" for i, reason in refused.items()]
        self.judged = [
            Judged(note, None if is_foreign(reader, note) else self._loader(note))
            for note in notes
            if note.index not in refused
        ]
        self.damage = [f"damaged: {error}" for error in reader.damage]
        self.damage += [f"damaged: {line}" for one in self.judged for line in one.damage]

    def _loader(self, note: vmcore.Note) -> Callable[[], cudbg.Dump]:
        return partial(self._cleaned, self._reader, note)

    def _cleaned(self, reader: vmcore.Reader, note: vmcore.Note) -> cudbg.Dump:
        from vmcoredd import cudbg

        dump = dump_of(reader, note)
        if self._redaction is None:
            return dump
        return cudbg.Dump(self._redaction.cleaned(dump, {}))

    def compare(self, against: Path | None) -> None:
        """Takes the first dump of a healthy card from `against`."""
        if against is None:
            return
        with about(against), opened(against) as reader:
            notes = decodable_dumps(reader)
            if not notes:
                raise typer.BadParameter(f"{against} holds no such dump", param_hint="--against")
            if self._redaction is not None and self._redaction.learn(reader, notes[:1]):
                raise typer.BadParameter(f"{against} cannot be redacted", param_hint="--against")
            self._twin = self._cleaned(reader, notes[0])
            self._twin_name = f"{against.name}, {notes[0].name}"

    def _like(self, dump: cudbg.Dump, note: vmcore.Note) -> cudbg.Dump | None:
        """Returns the twin if it is of the dump's chip; says so if it is not."""
        if self._twin is None or self._twin.chip_name == dump.chip_name:
            return self._twin
        chips = f"its chip is a {self._twin.chip_name}, not a {dump.chip_name}"
        self.not_compared.append(
            f"note {note.index} is not compared with {self._twin_name}: {chips}"
        )
        return None

    def write(self, folder: Path) -> None:
        """Fills the folder."""
        from vmcoredd.cli.report.content import Content
        from vmcoredd.cli.report.folder import write_private
        from vmcoredd.cli.report.page import page

        contents, excerpts = [], []
        for number, one in enumerate(self.judged):
            if one.dump is None or one.verdict is None:
                continue
            twin = self._like(one.dump, one.note)
            redacted = self._redaction is not None
            name = f"{one.note.name} (note {one.note.index})"
            contents.append(Content(number, name, one.dump, one.verdict, twin, redacted=redacted))
            excerpts.append(self._write_entities(folder / f"dump-{one.note.index}", one.dump))
            self._private |= dict.fromkeys(contents[-1].private)
        record = findings_record(self.judged) | others_record(self._reader)
        text = json_module.dumps(
            envelope("diagnose", {"file": str(self._path), **record}), indent=2
        )
        write_private(folder / FINDINGS, text + "\n")
        html = page(contents, excerpts, self._about())
        write_private(folder / PAGE, html)
        self._files += 2
        self._page_bytes = len(html.encode())

    def _about(self) -> dict[str, Any]:
        names = [one.verdict.card.name for one in self.judged if one.verdict]
        title = ", ".join(dict.fromkeys(name for name in names if name)) or "a device dump"
        others = [one.note.name for one in self.judged if one.foreign]
        trouble = [
            *self.damage,
            *self.lost,
            *self.not_compared,
            *(f"{n}: another driver's dump" for n in others),
        ]
        return {
            "title": f"Report: {title}",
            "file": self._path.name,
            "trouble": trouble,
            "twin": self._twin_name,
        }

    def _write_entities(self, folder: Path, dump: cudbg.Dump) -> dict[str, list[str]]:
        """Writes each entity in words to a file; returns the first lines of each."""
        from vmcoredd.cli.report.content import identifier

        folder.mkdir(mode=0o700)
        excerpts = {}
        for entity in dump.entities:
            path = folder / f"{identifier(entity.name)}.txt"
            _write_entity(path, dump, entity)
            self._files += 1
            with path.open(encoding="utf-8") as lines:
                first = [line.rstrip("\n") for line in islice(lines, EXCERPT_LINES + 1)]
            if len(first) > EXCERPT_LINES:
                first[-1] = f"... the rest is in {folder.name}/{path.name}"
            excerpts[entity.name] = first
        return excerpts

    def record(self, output: Path) -> dict[str, Any]:
        """Returns what was made, for programs."""
        return {
            "file": str(self._path),
            "output": str(output),
            "size_bytes": self._page_bytes,
            "redacted": self._redaction is not None,
            "files": self._files,
            "contents": list(self._private),
            "lost": self.lost,
            "damage": self.damage,
            "not_compared": self.not_compared,
        }

    def print(self, output: Path) -> None:
        """Says what was made, and what is private in it."""
        for line in _lines(self._private):
            out.say(line)
        out.print(
            f"{output}: {counted(self._files, 'file')}, {PAGE} {size(self._page_bytes)}",
            markup=False,
        )


def _write_entity(path: Path, dump: cudbg.Dump, entity: cudbg.DumpEntity) -> None:
    from vmcoredd.cli import render
    from vmcoredd.cli.report.folder import private_file
    from vmcoredd.cudbg.decoded import Allowance

    with private_file(path) as file, results_to(file):
        out.say(f"{entity.name} (entity {entity.number})")
        if not entity.good:
            out.say(f"  not in the dump: {entity.reason}")
            return
        trouble, name = Trouble(), entity.name
        if found := trouble.decoded(dump, name):
            with trouble.of(name):
                render.show(found, render.View(Allowance(), everything=True))
        for kind, said in (("not decoded", trouble.unknown), ("damaged", trouble.damage)):
            if name in said:
                out.say(f"  {kind}: {said[name]}")


def _lines(private: dict[str, None]) -> Iterator[str]:
    yield "The report contains:" if private else "The report contains no private data"
    yield from (f"  {line}" for line in private)
