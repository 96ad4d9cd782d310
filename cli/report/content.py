"""What the page says of one device dump: plain values, which the template escapes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from vmcoredd import cudbg
from vmcoredd.cli.output import size
from vmcoredd.cli.report import pictures
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.cudbg.decoded import Allowance
from vmcoredd.cudbg.private import contents
from vmcoredd.cudbg.words import Word, words
from vmcoredd.diagnosis import Evidence, Verdict

LOG_MOST = 2000
DIFFERENCES_MOST = 300
"""Rows of tables that stand in the page for readers without scripts."""
_CAUSE = re.compile(r"_CAUSE\d*(_SRAM|_REG\d*)?$")
_Place = tuple[str, str, int]
_Named = tuple[str, int | None]


def identifier(*parts: object) -> str:
    """Returns a name for an element of the page: letters, digits, `_` and `-`."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "_", str(part)) for part in parts)


class Content:
    """One device dump; `number` tells it from others on the page."""

    def __init__(
        self,
        number: int,
        name: str,
        dump: cudbg.Dump,
        verdict: Verdict,
        against: cudbg.Dump | None,
        *,
        redacted: bool,
    ) -> None:
        self.id = f"d{number}"
        self.name, self.dump, self.verdict = name, dump, verdict
        self.private = list(contents(dump, redacted=redacted, in_words=True))
        self.has_twin = against is not None
        found = list(words(dump))
        twin = {_place(word): word for word in words(against)} if against else {}
        self.registers = [_row(word, twin.get(_place(word))) for word in found]
        self.named = self._named(found)
        self.ports = _ports(found, verdict.card.ports)
        self.different = [row for row in self.registers if row[6] is not None]
        self.differences = list(_differences(dump, against)) if against else []
        maps = [*self._tables("MEMINFO"), [], []]
        self.memories = pictures.memories(maps[0], maps[1])
        self.queues = pictures.queues(row for t in self._tables("DUMP_CONTEXT")[:2] for row in t)
        self.log = next(iter(self._tables("DEV_LOG")), [])

    @property
    def link(self) -> str:
        """The fragment that leads to it."""
        return f"#{self.id}"

    def target(self, evidence: Evidence) -> str:
        """Returns the name of the element that shows a value that a finding is based on."""
        if evidence.register and evidence.offset is not None:
            return identifier(self.id, evidence.entity, evidence.register, f"{evidence.offset:x}")
        if evidence.entity == "DEV_LOG" and self.log:
            return f"{self.id}-log"
        return identifier(self.id, "entity", evidence.entity)

    def _named(self, found: list[Word]) -> list[tuple[str, list[Any]]]:
        """Returns rows of registers, with the names of their elements: those that findings name,
        and causes that are not zero."""
        named = [
            evidence
            for finding in self.verdict.findings
            for evidence in finding.evidence
            if evidence.register and evidence.offset is not None
        ]
        by_place: dict[_Named, list[Word]] = {(one.entity, one.offset): [] for one in named}
        for word in found:
            if (word.entity, word.offset) in by_place:
                by_place[word.entity, word.offset].append(word)
        rows = {self.target(evidence): _evidence_row(evidence, by_place) for evidence in named}
        for word in found:
            if word.value and _CAUSE.search(word.name):
                key = identifier(self.id, word.entity, word.name, f"{word.offset:x}")
                rows.setdefault(key, _row(word, None))
        return list(rows.items())

    def _tables(self, name: str) -> list[list[Mapping[str, Any]]]:
        """Returns the rows of each table of an entity; none if it is missing or damaged."""
        with suppress(cudbg.DumpFormatError, cudbg.NoSuchEntity):
            parts = self.dump.decode(name).json(Allowance(LOG_MOST))
            return [part["rows"] for part in parts if "rows" in part]
        return []


def _place(word: Word) -> _Place:
    return word.entity, word.space, word.offset


def _row(word: Word, twin: Word | None) -> list[Any]:
    """Returns label, instance, entity, offset, value, fields that are not zero, the twin's value
    if it differs."""
    fields = word.fields() if word.value else {}
    text = " ".join([f"{name}={value:#x}" for name, value in fields.items() if value])
    other = twin.value if twin is not None and twin.value != word.value else None
    return [word.label, word.instance, word.entity, word.offset, word.value, text, other]


def _evidence_row(evidence: Evidence, by_place: Mapping[_Named, list[Word]]) -> list[Any]:
    for word in by_place[evidence.entity, evidence.offset]:
        if evidence.register in (word.name, word.label):
            return _row(word, None)
    value = evidence.value if evidence.word is None else evidence.word
    where = [evidence.register, evidence.instance, evidence.entity, evidence.offset]
    return [*where, value if isinstance(value, int) else 0, evidence.field, None]


def _ports(found: list[Word], count: int | None) -> list[pictures.Port]:
    status = [word for word in found if word.name == "MAC_PORT_LINK_STATUS"]
    return [pictures.port(word.instance, word.fields()) for word in status[: count or None]]


def _differences(dump: cudbg.Dump, against: cudbg.Dump) -> Iterator[tuple[str, str]]:
    for found in compare(dump, against):
        if isinstance(found, Difference):
            yield found.name, found.what.replace("in a", "here").replace("in b", "in the twin")


def entity_rows(content: Content, excerpts: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Returns the entities as rows for the page, with the first lines of each in words."""
    return [
        {
            "id": identifier(content.id, "entity", entity.name),
            "number": entity.number,
            "name": entity.name,
            "size": size(entity.size),
            "condition": str(entity.condition),
            "status": entity.status,
            "lines": excerpts.get(entity.name, []),
        }
        for entity in content.dump.entities
    ]
