"""What an entity's status means: whether the dump lacks something that the adapter has."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import Code, describe


class Condition(StrEnum):
    """How much of an entity is in the dump."""

    GOOD = "good"
    PARTIAL = "partial"
    ABSENT = "absent"
    """The adapter has none: nothing is missing."""
    MISSING = "missing"


class HasStatus(Protocol):
    """An entity of a dump, or one just collected: `code`, `sys_err`, `sys_warn` of its header."""

    @property
    def name(self) -> str: ...
    @property
    def code(self) -> int: ...
    @property
    def sys_err(self) -> int: ...
    @property
    def sys_warn(self) -> int: ...


def condition_of(found: HasStatus) -> Condition:
    """Returns the condition of an entity.

    Its status is -24 both where the adapter has none and where it is disabled. Only an entity that
    some adapters lack is taken to be absent.
    """
    if found.code == 0:
        return Condition.PARTIAL if found.sys_warn else Condition.GOOD
    known = entities().get(found.name)
    some_lack_it = known is not None and (known.optional or known.chips is not None)
    not_found = Code.ENTITY_NOT_FOUND in (found.code, found.sys_err)
    return Condition.ABSENT if not_found and some_lack_it else Condition.MISSING


def is_incomplete(found: HasStatus) -> bool:
    """Whether the dump lacks all or part of an entity that the adapter has."""
    return condition_of(found) in (Condition.PARTIAL, Condition.MISSING)


def status_in_words(found: HasStatus) -> str:
    """Returns `good`, or everything its header says: `-29: system error, -24: ...`."""
    condition = condition_of(found)
    if condition == Condition.GOOD:
        return str(condition)
    none = "this adapter has none" if condition == Condition.ABSENT else "not found, or disabled"
    numbers = [number for number in (found.code, found.sys_err, found.sys_warn) if number]
    words = (f"{n}: {none}" if n == Code.ENTITY_NOT_FOUND else describe(n) for n in numbers)
    lead = "partial, " if condition == Condition.PARTIAL else ""
    return lead + ", ".join(words)
