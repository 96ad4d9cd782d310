"""A finding: how severe it is, what it means, what to do, and the values that show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from vmcoredd.cudbg.words import Word


class Severity(StrEnum):
    """How bad a finding is. The worst comes first, and is the least in comparisons."""

    FATAL = "fatal"
    """The card stopped, or the kernel's driver stops it: it needs a reset, or replacing."""
    ERROR = "error"
    """Something is broken, or was lost; the card may go on."""
    WARNING = "warning"
    """Something that a healthy card does not show, but can live with."""
    NOTE = "note"
    """Worth knowing; no fault by itself."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)

    @property
    def alarming(self) -> bool:
        """Whether it is above `note`."""
        return self is not Severity.NOTE


FATAL, ERROR, WARNING, NOTE = Severity


@dataclass(frozen=True, slots=True)
class Evidence:
    """One value of a dump."""

    entity: str
    value: int | str
    """Of the register or of its field, or what the entity says otherwise."""
    register: str = ""
    offset: int | None = None
    """Byte offset in BAR0, or the index in the register's space."""
    instance: str = ""
    """`EDC0`, `port 1`; empty where there is one only."""
    field: str = ""
    """The field of the register that counts; empty if the whole word does."""
    word: int | None = None
    """The register's whole word; None if `entity` says the value otherwise."""

    @classmethod
    def of(cls, word: Word, *fields: str) -> tuple[Evidence, ...]:
        """Makes evidence of each of these fields of a word; of all of it if there are none."""
        entity, place = word.entity, (word.name, word.offset, word.instance)
        values = [(name, word.get(name)) for name in fields] or [("", word.value)]
        return tuple(cls(entity, value, *place, name, word.value) for name, value in values)

    @classmethod
    def each(cls, words: Iterable[Word]) -> tuple[Evidence, ...]:
        """Makes evidence of the whole of each word."""
        return tuple(one for word in words for one in cls.of(word))

    def json(self) -> dict[str, Any]:
        """Returns a plain dict."""
        return {
            "entity": self.entity,
            "register": self.register,
            "offset": self.offset,
            "instance": self.instance,
            "field": self.field,
            "value": self.value,
            "word": self.word,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found, in one place of the card."""

    severity: Severity
    rule: str
    meaning: str
    to_do: str
    source: str
    evidence: tuple[Evidence, ...]
    explained_by: tuple[str, ...] = ()
    """The rules of findings that are likely causes of this one."""
    explains: tuple[str, ...] = ()
    """Patterns of rules and entities: see `Rule.explains`."""
    lacks: tuple[str, ...] = ()
    """The entities that the dump lacks, or has only in part, as this finding says."""

    def is_cause_of(self, other: Finding) -> bool:
        """Returns whether another finding may be a consequence of this one."""
        names = (other.rule, *other.lacks)
        return self.rule != other.rule and any(
            fnmatchcase(name, pattern) for pattern in self.explains for name in names
        )

    def json(self) -> dict[str, Any]:
        """Returns a plain dict: the first evidence flat, and all of it in a list."""
        return {
            "severity": str(self.severity),
            "rule": self.rule,
            **self.evidence[0].json(),
            "meaning": self.meaning,
            "to_do": self.to_do,
            "source": self.source,
            "explained_by": list(self.explained_by),
            "evidence": [evidence.json() for evidence in self.evidence],
        }
