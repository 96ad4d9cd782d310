"""What an entity's status means: whether the dump lacks something that the adapter has."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from vmcoredd.cudbg.errors import Code, describe
from vmcoredd.cudbg.presence import NotFound


class Condition(StrEnum):
    """How much of an entity is in the dump."""

    GOOD = "good"
    PARTIAL = "partial"
    ABSENT = "absent"
    """The adapter has none, or perhaps none: nothing is known to be missing."""
    MISSING = "missing"
    LEFT_OUT = "left_out"
    """It was in the dump; somebody who passed the dump on left it out."""


class HasStatus(Protocol):
    """An entity of a dump: `code`, `sys_err`, `sys_warn` of its header, and why it was not found
    where its status is -24."""

    @property
    def code(self) -> int: ...
    @property
    def sys_err(self) -> int: ...
    @property
    def sys_warn(self) -> int: ...
    @property
    def not_found(self) -> NotFound: ...


def condition_of(found: HasStatus) -> Condition:
    """Returns the condition of an entity."""
    if found.code == 0:
        return Condition.PARTIAL if found.sys_warn else Condition.GOOD
    is_absent = was_not_found(found) and not found.not_found.has
    return Condition.ABSENT if is_absent else Condition.MISSING


def was_not_found(found: HasStatus) -> bool:
    """Returns whether the status is -24, which hides two cases: see `cudbg.presence`."""
    return found.code != 0 and Code.ENTITY_NOT_FOUND in (found.code, found.sys_err)


def is_incomplete(found: HasStatus) -> bool:
    """Returns whether the dump lacks all or part of an entity that the adapter has."""
    return condition_of(found) in (Condition.PARTIAL, Condition.MISSING)


def status_in_words(found: HasStatus) -> str:
    """Returns `good`, `absent: this adapter has none`, or everything that the header of a failure
    says: `-29: system error, -24: switched off, though ...`."""
    condition = condition_of(found)
    if condition == Condition.GOOD:
        return str(condition)
    lead = {Condition.ABSENT: "absent: ", Condition.PARTIAL: "partial, "}.get(condition, "")
    return lead + reason_of(found)


def reason_of(found: HasStatus) -> str:
    """Returns why all or part of an entity is not in the dump; empty for a good one."""
    if condition_of(found) == Condition.ABSENT:
        return found.not_found.words
    numbers = (number for number in (found.code, found.sys_err, found.sys_warn) if number)
    return ", ".join(_in_words(found, number) for number in numbers)


def _in_words(found: HasStatus, number: int) -> str:
    if number == Code.ENTITY_NOT_FOUND:
        return f"{number}: {found.not_found.words}"
    return describe(number)
