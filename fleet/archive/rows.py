"""What a file's dumps say, as rows: lines of JSON without the columns that each table begins with.

for found in dumps_in(path):
    made = found.read()
    made.keys, made.lines("registers")
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from vmcoredd import cudbg, diagnosis, vmcore
from vmcoredd.chip.register import Register
from vmcoredd.cudbg.decoded import Allowance, Table
from vmcoredd.cudbg.device_log import RECORDS_MOST
from vmcoredd.cudbg.in_note import cut_off, dump_of, is_foreign
from vmcoredd.cudbg.words import Word, words

_HASHED_BYTES = 1 << 20
"""Of a file without a dump."""
_CRASHTIME = re.compile(rb"^CRASHTIME=(\d{1,10})$", re.MULTILINE)
_VMCOREINFO_MOST = 1 << 20
_CAUSES_KEPT = 1 << 16
"""Words whose fields are kept: the same ones are in dump after dump."""


@dataclass(frozen=True)
class Crash:
    """The file that a dump was in."""

    file: str
    time: datetime
    time_source: str


@dataclass(frozen=True)
class Made:
    """The rows of one dump, or of a file of which nothing could be read."""

    dump: str
    """The SHA-256 that names it."""
    crash: Crash
    serial: str = ""
    card: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    """Its row in `dumps`, but for what is known only when it is written."""
    content: cudbg.Dump | None = None
    verdict: diagnosis.Verdict | None = None

    @property
    def keys(self) -> tuple[str, str, str, datetime]:
        """The first columns of each row."""
        return self.dump, self.serial, self.card, self.crash.time

    @property
    def condition(self) -> str:
        """See the schema."""
        return str(self.about["condition"])

    def lines(self, table: str, generation: int = 0) -> Iterator[bytes]:
        """Yields the rows of a table."""
        if table == "dumps":
            yield _line(self.about | {"generation": generation} | _made_by())
        elif table == "findings":
            yield from map(_line, _findings(self.verdict))
        elif self.content is not None:
            yield from {"entities": _entities, "log": _log, "registers": _registers}[table](
                self.content
            )


@cache
def rules() -> str:
    """Returns a fingerprint of the rules, and of all else that a verdict rests on."""
    digest = hashlib.sha256()
    for room in ("diagnosis", "cudbg", "chip"):
        for path in _sources(resources.files(f"vmcoredd.{room}")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith((".py", ".csv")):
            yield entry


@cache
def _made_by() -> dict[str, str]:
    try:
        number = metadata.version("vmcoredd")
    except metadata.PackageNotFoundError:
        number = "unknown"
    return {"program": number, "rules": rules()}


class Found(NamedTuple):
    """A dump in a file: its SHA-256, and what reads it, before the next one is asked for."""

    dump: str
    read: Callable[[], Made]


def dumps_in(path: str | os.PathLike[str]) -> Iterator[Found]:
    """Yields each device dump in a file; one that reads as `unreadable` for a file without any.

    Raises OSError if the file cannot be opened or read.
    """
    crash = _crash(path)
    try:
        with vmcore.Reader(path, is_payload=cudbg.is_dump) as reader:
            crash = _timed(crash, reader)
            damage = [str(error) for error in reader.damage]
            for note in reader.device_dumps:
                yield _dump(crash, reader, note, damage)
            if not reader.device_dumps:
                yield _without_dump(crash, path, "; ".join(damage))
    except vmcore.VmcoreFormatError as error:
        yield _without_dump(crash, path, str(error))


def _crash(path: str | os.PathLike[str]) -> Crash:
    name = os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")
    changed = datetime.fromtimestamp(os.stat(path).st_mtime, UTC).replace(tzinfo=None)
    return Crash(name, changed, "file")


def _timed(crash: Crash, reader: vmcore.Reader) -> Crash:
    """Returns the crash with the time that the kernel wrote, if it did."""
    for note in reader.notes:
        if note.owner == "VMCOREINFO":
            text = bytes(reader.payload(note.index, partial=True, most=_VMCOREINFO_MOST))
            if found := _CRASHTIME.search(text):
                when = datetime.fromtimestamp(int(found[1]), UTC).replace(tzinfo=None)
                return Crash(crash.file, when, "crash")
    return crash


def _without_dump(crash: Crash, path: str | os.PathLike[str], why: str) -> Found:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(b"%d\n" % size + file.read(_HASHED_BYTES))
    condition = "unreadable" if why else "empty"
    about = _about(crash, None, condition, error=why) | {"size_bytes": size}
    made = Made(digest.hexdigest(), crash, about=about)
    return Found(made.dump, lambda: made)


def _about(crash: Crash, note: vmcore.Note | None, condition: str, **more: Any) -> dict[str, Any]:
    """Returns the row in `dumps` of what tells nothing of its card."""
    unknown = ("chip", "part", "mac", "firmware", "state", "error")
    return {
        "file": crash.file,
        "note": note.index if note else None,
        "name": (note.name if note else "") or "",
        "size_bytes": note.payload_size if note else 0,
        "time_source": crash.time_source,
        "condition": condition,
        **dict.fromkeys(unknown, ""),
        "ports": None,
        "damage": [],
        "lost": [],
        **more,
    }


def _dump(crash: Crash, reader: vmcore.Reader, note: vmcore.Note, damage: list[str]) -> Found:
    try:
        digest = hashlib.sha256(reader.payload(note.index, partial=True)).hexdigest()
    except vmcore.VmcoreError as error:  # too large, or the file became shorter
        name = hashlib.sha256(f"{crash.file}\n{note.index}".encode()).hexdigest()
        made = Made(name, crash, about=_about(crash, note, "unreadable", error=str(error)))
        return Found(name, lambda: made)
    return Found(digest, partial(_read, crash, reader, note, digest, damage))


def _read(
    crash: Crash, reader: vmcore.Reader, note: vmcore.Note, digest: str, damage: list[str]
) -> Made:
    try:
        if is_foreign(reader, note):
            return Made(digest, crash, about=_about(crash, note, "foreign"))
        return _judged(crash, note, digest, dump_of(reader, note), damage)
    except (cudbg.DumpFormatError, vmcore.VmcoreError) as error:
        about = _about(crash, note, "unreadable", error=str(error), damage=damage)
        return Made(digest, crash, about=about)


def _judged(
    crash: Crash, note: vmcore.Note, digest: str, content: cudbg.Dump, damage: list[str]
) -> Made:
    verdict = diagnosis.diagnose(content)
    lost = content.lost(note.present)
    harm = [*damage, content.cut or cut_off(content, note, lost)]
    harm += [] if lost else verdict.damage
    harm = [line for line in harm if line]
    card = verdict.card
    about = _about(
        crash,
        note,
        "damaged" if harm else "good",
        damage=harm,
        lost=list(verdict.lost),
        chip=card.chip or content.adapter,
        part=card.part,
        mac=card.mac,
        ports=card.ports,
        firmware=card.firmware,
        state=card.state,
    )
    name = card.name or content.chip_name
    return Made(digest, crash, card.serial, name, about, content, verdict)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")


def _findings(verdict: diagnosis.Verdict | None) -> Iterator[dict[str, Any]]:
    for position, found in enumerate(verdict.findings if verdict else ()):
        row = found.json()
        row["evidence"] = [one | {"value": str(one["value"])} for one in row["evidence"]]
        yield {"position": position, **row, "value": str(row["value"])}


def _entities(dump: cudbg.Dump) -> Iterator[bytes]:
    for entity in dump.entities:
        size, damage = None, None
        if entity.good:
            try:
                size = dump.checked_size(entity.name)
            except cudbg.DumpFormatError as error:
                damage = str(error)
        raw = size if entity.good else 0
        yield _line({**entity.json(), "raw_size_bytes": raw, "damage": damage})


def _log(dump: cudbg.Dump) -> Iterator[bytes]:
    for decode in (dump.decode, dump.decode_remains):
        with suppress(cudbg.CudbgError):
            tables = [p for p in decode("DEV_LOG") if isinstance(p, Table)]
            rows = [row for part in tables for row in part.json(Allowance(RECORDS_MOST))["rows"]]
            yield from map(_line, rows)
            return


def _registers(dump: cudbg.Dump) -> Iterator[bytes]:
    for word in words(dump):
        place = _place(word.entity, word.space, word.offset, word.register, word.element)
        fields = _fields(word.register, word.value) if word.value else b"{}"
        yield b'%s, "value": %d, "fields": %s}' % (place, word.value, fields)


@lru_cache(_CAUSES_KEPT)
def _place(entity: str, space: str, offset: int, register: Register | None, element: int) -> bytes:
    """Returns the beginning of a word's line, without its value."""
    word = Word(entity, space, offset, 0, register, element)
    row = {
        "entity": entity,
        "space": space,
        "offset": offset,
        "register": word.name,
        "element": element,
        "instance": word.instance,
    }
    return _line(row).removesuffix(b"}")


@lru_cache(_CAUSES_KEPT)
def _fields(register: Register | None, value: int) -> bytes:
    """Returns the fields of a word that are not 0."""
    found = register.decode(value) if register is not None else {}
    return _line({name: number for name, number in found.items() if number})
