"""What of a dump differs in meaning from dumps of healthy cards of the same kind.

    told = compare_with_healthy(dump, [[used, another, ...], [fresh]])
    for one in told.registers: print(one.word.label, one.word.value, one.healthy)

A value differs in meaning if no healthy card has it, all healthy cards agree, and it is none that
differs between any two cards: `chip.momentary` and `Entity.momentary` know those kinds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar

from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.chip.momentary import HOSTS_BITS, kind_of
from vmcoredd.cudbg.compare import location_of, rows_of
from vmcoredd.cudbg.dump import Dump, DumpEntity, NoSuchEntity
from vmcoredd.cudbg.entity import Entity, entities
from vmcoredd.cudbg.errors import Code, DumpFormatError, UnknownFormat
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.status import Condition
from vmcoredd.cudbg.words import RegisterEntity, Word

T = TypeVar("T")
DIFFERS_ANYWAY = "what differs between healthy cards too"
SET_BY_HOSTS = "what each host sets as it likes"
UNDESCRIBED = "words that no table describes"
UNANSWERED = "reads of ffffffff: the card did not answer"
NOT_IN_DUMP = "not in the dump"
UNKNOWN = "unknown to this version, or not what Linux collects"
NO_ROOM = "no room in the dump"
"""Why something is not compared, besides the kinds of `chip.momentary`."""

_ALARMS = ("*_CAUSE*", "*_ERR*", "*PERR*", "*_FATAL*")
"""Names of registers that tell of trouble."""


Groups = Sequence[Sequence[Dump]]
"""Dumps of healthy cards; those of a group went through the same."""


Modelled = Callable[[Word, int], bool]
"""Whether healthy cards give a register, whose value on them is the second argument, a value of its
own, rather than that after reset."""


class Place(NamedTuple):
    """A register's word: the entity, the space and the offset there."""

    entity: str
    space: str
    offset: int


@dataclass(frozen=True)
class Changed:
    """A register of which no healthy card has the value."""

    word: Word
    healthy: int
    """The value of the healthy cards that is nearest to this one: of most, the only one."""
    modelled: bool
    """Whether the healthy cards give that register a value of its own, rather than the one after
    reset."""

    @property
    def alarming(self) -> bool:
        """Whether its name is that of a cause or an error."""
        return any(fnmatchcase(self.word.name, pattern) for pattern in _ALARMS)

    @property
    def fields(self) -> dict[str, tuple[int, int]]:
        """The fields that differ: the value here and the healthy one. Empty if it is one value."""
        if self.word.register is None or not self.word.register.fields:
            return {}
        names = self.word.names_of(self.word.value ^ self.healthy)
        healthy = self.word._replace(value=self.healthy)
        return {name: (self.word.get(name), healthy.get(name)) for name in names}


@dataclass(frozen=True)
class Row:
    """A value of another entity that no healthy card has."""

    entity: str
    location: str
    name: str
    value: str
    healthy: str


@dataclass
class Told:
    """What a dump tells that healthy cards do not."""

    missing: list[DumpEntity] = field(default_factory=list)
    """The entities that the card has and its dump lacks, all or in part."""
    registers: list[Changed] = field(default_factory=list)
    """Those that name an alarm first, then those whose healthy value is modelled."""
    rows: list[Row] = field(default_factory=list)
    words_left_out: Counter[str] = field(default_factory=Counter)
    """How many registers that differ were not compared, by the reason."""
    entities_left_out: dict[str, list[str]] = field(default_factory=dict)
    """The entities that were not compared, by the reason."""
    damaged: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.missing or self.registers or self.rows)

    def leave_out(self, entity: str, why: str) -> None:
        """Notes why an entity was not compared."""
        self.entities_left_out.setdefault(why, []).append(entity)


def compare_with_healthy(
    dump: Dump,
    healthy: Groups,
    *,
    modelled: Modelled = lambda word, healthy: True,
    telling: Collection[Place] = (),
) -> Told:
    """Compares a dump with those of several healthy cards, in groups that went through the same.

    `telling` are
    registers that are compared, whatever their kind. Raises UnknownFormat if the chip is unknown.
    """
    told, there = Told(), {entity.name: entity for entity in dump.entities}
    for name, known in entities().items():
        found = there.pop(name, None)
        if dump.chip in (known.chips or (dump.chip,)):
            _compare(told, dump, healthy, known, found, modelled, telling)
    for name in there:
        told.leave_out(name, UNKNOWN)
    told.registers.sort(key=lambda one: (not one.alarming, not one.modelled))
    return told


def _compare(
    told: Told,
    dump: Dump,
    healthy: Groups,
    known: Entity,
    found: DumpEntity | None,
    modelled: Modelled,
    telling: Collection[Place],
) -> None:
    if found is None or found.condition == Condition.LEFT_OUT:
        told.leave_out(known.name, NOT_IN_DUMP)
        return
    if Code.NO_MEM in (found.code, found.sys_err, found.sys_warn):
        told.leave_out(known.name, NO_ROOM)
        return
    if found.is_incomplete:
        told.missing.append(found)
    if not found.good:
        return
    if known.momentary:
        told.leave_out(known.name, known.momentary)
        return
    try:
        if isinstance(known, RegisterEntity):
            _compare_words(told, dump, healthy, known, modelled, telling)
        else:
            told.rows += _rows(told, dump, healthy, known.name)
    except UnknownFormat:
        told.leave_out(known.name, UNKNOWN)
    except DumpFormatError:
        told.damaged.append(known.name)


def _compare_words(
    told: Told,
    dump: Dump,
    healthy: Groups,
    known: RegisterEntity,
    modelled: Modelled,
    telling: Collection[Place],
) -> None:
    """Compares the words that are left of an entity of registers."""
    remains = dump.remains(known.name)
    for word, theirs in _differing(dump, healthy, known, remains):
        always = Place(word.entity, word.space, word.offset) in telling
        if why := _why_not(word, theirs, always=always):
            told.words_left_out[why] += 1
            continue
        every = sorted(set().union(*theirs))
        nearest = min(every, key=lambda value: (value ^ word.value).bit_count())
        told.registers.append(Changed(word, nearest, modelled(word, nearest)))
    if remains.held < remains.size:
        told.damaged.append(known.name)


def _differing(
    dump: Dump, healthy: Groups, known: RegisterEntity, remains: Remains
) -> Iterator[tuple[Word, list[set[int]]]]:
    """Yields the words that are left and that no healthy card has, with the values that the cards
    of each group have."""
    twins = [[memoryview(twin.raw(known.name)) for twin in group] for group in healthy]
    for start, data in remains.parts:
        for space, offset, position in known.places(dump.chip):
            at, end = position - start, position + WORD_BYTES
            if not 0 <= at <= len(data) - WORD_BYTES:
                continue
            mine = bytes(data[at : at + WORD_BYTES])
            if mine == twins[0][0][position:end]:
                continue
            value, theirs = (
                _number(mine),
                [{_number(one[position:end]) for one in g} for g in twins],
            )
            if not any(value in values for values in theirs):
                found = dump.chip.r.at(offset, space)
                register, element = found if found is not None else (None, 0)
                yield Word(known.name, space, offset, value, register, element), theirs


def _number(data: bytes | memoryview) -> int:
    return int.from_bytes(data, "little")


def _why_not(word: Word, healthy: Sequence[set[int]], *, always: bool) -> str:
    """Returns why a register that differs tells nothing; empty if it tells something."""
    if word.register is None:
        return UNDESCRIBED
    if word.value == U32_MASK:
        return UNANSWERED
    if not always and (kind := kind_of(word.register)):
        return kind
    hosts = HOSTS_BITS.get(word.name, 0)
    if any((value ^ word.value) & ~hosts == 0 for values in healthy for value in values):
        return SET_BY_HOSTS
    return "" if _agree(healthy) else DIFFERS_ANYWAY


def _agree(healthy: Sequence[set[T]]) -> bool:
    """Returns whether the cards of each group have the same value."""
    return all(len(values) == 1 for values in healthy)


def _rows(told: Told, dump: Dump, healthy: Groups, name: str) -> Iterator[Row]:
    """Yields the values of another entity that no healthy card has."""
    twins = [[_values(twin, name) for twin in group] for group in healthy]
    for place, value in _values(dump, name).items():
        theirs = [{twin.get(place, "nothing") for twin in group} for group in twins]
        if any(value in values for values in theirs):
            continue
        if _agree(theirs):
            yield Row(name, *place, value, min(theirs[0]))
        else:
            told.words_left_out[DIFFERS_ANYWAY] += 1


def _values(dump: Dump, name: str) -> Mapping[tuple[str, str], str]:
    """Returns the values of an entity as they are shown, by the row and the name."""
    found: dict[tuple[str, str], str] = {}
    with suppress(NoSuchEntity):
        for part in dump.decode(name):
            for row in rows_of(part):
                where = location_of(part.title, row.name or row.label)
                found |= {(where, column): value for column, value in row.cells.items()}
    return found
