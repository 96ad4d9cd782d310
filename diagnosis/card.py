"""The card as the rules see it: registers by name with their instances, and decoded entities.

Whatever the dump lacks is `NotJudged`: the rule that asked is then listed as lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.cudbg import CudbgError, Dump, DumpFormatError, UnknownFormat
from vmcoredd.cudbg.blank import EXPLAINS_NOTHING, nothing_in
from vmcoredd.cudbg.core_clock import EXPLAINED_BY as CLOCK_TOLD_BY
from vmcoredd.cudbg.core_clock import CoreClock, core_clock
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Table, Value
from vmcoredd.cudbg.driver_state import EXPLAINED_BY as STATE_TOLD_BY
from vmcoredd.cudbg.driver_state import DriverState, driver_state
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.words import RegisterEntity, Word

REG_DUMP = "REG_DUMP"
NO_ACCESS = 0xEEEEEEEE
"""What a function without access reads (t4_hw.h, CIM_PF_NOACCESS)."""
_GONE_LEAST = 8
"""Words of all ones before the place where a dump was cut that are no values."""


class NotJudged(CudbgError):
    """The dump does not have what a rule asks for; the text is the entity and the reason."""


class Card:
    """A dump's card. Entities are decoded once, when a rule asks for them."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.unanswered: set[int] = set()
        """Offsets of registers that read as all ones beside instances that do not."""
        self.damage: dict[str, str] = {}
        """What is damaged of the entities that rules asked for, by name."""
        self.gaps: dict[str, None] = {}
        """Why a part of what was asked for is not left, since `begin`."""
        self.had_some = False
        """Whether a part of what was asked for is left, since `begin`."""
        self._held: dict[str, list[tuple[int, memoryview]]] = {}
        self._decoded: dict[str, Decoded] = {}
        self._rows: dict[tuple[str, str], list[dict[str, Value]]] = {}

    @cached_property
    def unknown(self) -> str:
        """Why this version can say nothing of the card; empty if it can."""
        try:
            self.dump.chip  # noqa: B018
        except CudbgError as error:
            return str(error)
        return ""

    def begin(self) -> None:
        """Forgets what was asked for: the next rule begins."""
        self.gaps, self.had_some = {}, False

    @property
    def chip(self) -> Chip:
        """The chip generation."""
        return self.dump.chip

    def _parts_of(self, entity: str) -> list[tuple[int, memoryview]]:
        """Returns the 32-bit words that are left of an entity, in parts: the byte offset of the
        first, and the words. Raises NotJudged if none is."""
        if entity not in self._held:
            with self._or_not_judged(entity):
                left = self._left_of(entity)
            self._held[entity] = [_as_words(at, data) for at, data in left]
        return self._held[entity]

    def _left_of(self, entity: str) -> Sequence[tuple[int, Bytes]]:
        """Returns the parts that are left of an entity's bytes, with their offsets.

        REG_DUMP may have any size; another entity raises UnknownFormat unless it has a size that
        is known. Raises DumpFormatError if nothing is left.
        """
        try:
            raw = memoryview(self.dump.raw(entity))
        except UnknownFormat:
            raise
        except DumpFormatError as error:
            if not (parts := self.dump.remains(entity).parts):
                raise
            self.damage[entity] = str(error)
            return parts
        if entity != REG_DUMP:
            self.dump.decoder(entity).need_known(raw, self.chip)
        return [(0, raw)]

    @cached_property
    def _says_nothing(self) -> str:
        """What all registers read as where none of them tells anything; empty elsewhere."""
        for word in self._places("PL_WHOAMI", REG_DUMP):
            if word is not None and word.value in (U32_MASK, NO_ACCESS):
                return f"{word.value:08x}"
        return "" if any(any(words) for _, words in self._parts_of(REG_DUMP)) else "all zero"

    def runs(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Yields what is left of the ranges of the register dump: the first offset, the words."""
        for start, count in self.chip.ranges("reg_dump"):
            for at, words in self._parts_of(REG_DUMP):
                first = max(start, at)
                end = min(start + count * WORD_BYTES, at + len(words) * WORD_BYTES)
                if first < end:
                    yield first, words[(first - at) // WORD_BYTES : (end - at) // WORD_BYTES]

    @contextmanager
    def in_part(self) -> Iterator[None]:
        """Lets a rule go on without what the dump lacks; the reason is in `gaps`."""
        try:
            yield
        except NotJudged as error:
            self.gaps[str(error)] = None
        else:
            self.had_some = True

    def words(self, name: str, entity: str = REG_DUMP) -> list[Word]:
        """Returns the instances of a register that have a value; none if this chip does not have
        it. Why others have none is in `gaps`; those that read as all ones beside others are in
        `unanswered`."""
        try:
            found = self._every(name, entity)
        except NotJudged as error:
            self.gaps[str(error)] = None
            return []
        if None in found and (not any(found) or None in self._places(name, entity)):
            self.gaps[self._why_none(name, entity)] = None
        self.had_some |= any(found)
        return [word for word in found if word is not None]

    def word(self, name: str, entity: str = REG_DUMP) -> Word:
        """Returns the one instance, or the first, of a register; raises NotJudged if the entity
        has none, or no value of it."""
        return self._first(self._every(name, entity), name, entity)

    def raw_word(self, name: str, entity: str = REG_DUMP) -> Word:
        """Returns what `word` does, even if the card is off the bus; raises NotJudged if the word
        is not left."""
        return self._first(self._places(name, entity), name, entity)

    def _first(self, found: Sequence[Word | None], name: str, entity: str) -> Word:
        if not found:
            raise NotJudged(f"{name} is not in {entity}")
        if found[0] is None:
            raise NotJudged(self._why_none(name, entity))
        return found[0]

    def _every(self, name: str, entity: str) -> list[Word | None]:
        """Returns all instances of a register: None for those that read as all ones, or are not
        left of a damaged entity. Raises NotJudged if the entity cannot be read, or says nothing."""
        if entity == REG_DUMP and self._says_nothing:
            raise NotJudged(f"REG_DUMP reads as {self._says_nothing}")
        found = self._places(name, entity)
        silent = [word.offset for word in found if word and self._is_unanswered(word)]
        left = [None if word and word.offset in silent else word for word in found]
        if any(left) and None not in found:
            self.unanswered.update(silent)
        return left

    def _why_none(self, name: str, entity: str) -> str:
        """Returns why no instance of a register has a value."""
        if None in self._places(name, entity):
            return self._why_lost(entity)
        return f"{'' if entity == REG_DUMP else f'{entity}: '}registers that read as ffffffff"

    def _why_lost(self, entity: str) -> str:
        """Returns why words of an entity are not in the dump."""
        return self.damage.get(entity) or f"{entity} ends before its last registers"

    def _is_unanswered(self, word: Word) -> bool:
        """Returns whether a word is no value but a read that failed: all ones, in bits too that the
        register does not have, or where the card answers no more."""
        if word.value != U32_MASK or word.entity != REG_DUMP:
            return word.value == U32_MASK
        has = sum(field.mask for field in word.register.fields) if word.register else 0
        return has not in (0, U32_MASK) or (self.gone_from or U32_MASK) <= word.offset

    @cached_property
    def gone_from(self) -> int | None:
        """The offset from which on all registers read as all ones; None if the dump ends well.

        It is read in the order of offsets: there the card fell off the bus. Where the end of the
        dump is not left, a few words of all ones may be values.
        """
        gone, count = None, 0
        runs = list(self.runs())
        for start, words in reversed(runs):
            last = next((i for i in reversed(range(len(words))) if words[i] != U32_MASK), -1)
            if last + 1 < len(words):
                gone = start + WORD_BYTES * (last + 1)
                count += len(words) - last - 1
            if last >= 0:
                break
        start, words = runs[-1] if runs else (0, ())
        at, size = self.chip.ranges("reg_dump")[-1]
        ends = start + len(words) * WORD_BYTES == at + size * WORD_BYTES
        return gone if ends or count >= _GONE_LEAST else None

    def _places(self, name: str, entity: str) -> list[Word | None]:
        """Returns all instances of a register that the entity has a place for; None for those that
        are not left."""
        holder, parts = entities()[entity], self._parts_of(entity)
        if name not in self.chip.r or not isinstance(holder, RegisterEntity):
            return []
        found: list[Word | None] = []
        for register in self.chip.r.instances(name):
            for element, (space, offset, position) in holder.places_of(register, self.chip):
                value = _value_at(position, parts)
                word = Word(entity, space, offset, value or 0, register, element)
                found.append(None if value is None else word)
        return found

    @property
    def ports(self) -> int:
        """The number of Ethernet ports (t4_hw.c, t4_get_mps_bg_map()); raises NotJudged."""
        return 1 << self.word("MPS_CMN_CTL").get("NumPorts")

    def decoded(self, entity: str) -> Decoded:
        """Returns a decoded entity; raises NotJudged if it cannot be had. Why a part of it is not
        left is in `gaps`."""
        if entity not in self._decoded:
            with self._or_not_judged(entity):
                found = self.dump.decode(entity)
                if why := nothing_in(found):
                    raise NotJudged(f"{entity}: {why}")
                self._decoded[entity] = found
        why = self._decoded[entity].incomplete
        if why and not why.endswith(EXPLAINS_NOTHING):
            self.gaps[f"{entity}: {why}"] = None
            self.had_some = True
        return self._decoded[entity]

    def blob(self, entity: str) -> Bytes:
        """Returns an entity's raw bytes; raises NotJudged if they cannot be had."""
        with self._or_not_judged(entity):
            return self.dump.blob(entity)

    def held(self, entities: Sequence[str]) -> dict[str, Bytes]:
        """Returns the raw bytes of those of the entities that the dump has, by name; why bytes of
        them are not left is in `gaps`."""
        found: dict[str, Bytes] = {}
        for name in (entity.name for entity in self.dump.entities if entity.good):
            if name in entities:
                try:
                    with self._or_not_judged(name):
                        self._hold(name, found)
                except NotJudged as error:
                    self.gaps[str(error)] = None
        return found

    def _hold(self, name: str, found: dict[str, Bytes]) -> None:
        """Adds an entity's bytes; raises CudbgError if they are not all of it, or cannot be had."""
        holder = self.dump.decoder(name)
        found[name] = self.dump.raw(name)
        holder.need_known(found[name], self.chip)
        if why := self.dump.not_measured(name):
            raise NotJudged(f"{name}: {why}")

    @property
    def core_clock(self) -> CoreClock:
        """The core clock, as far as the dump tells it."""
        return core_clock(self.held(CLOCK_TOLD_BY))

    @property
    def driver_state(self) -> DriverState:
        """What the driver knew, as far as the dump tells it."""
        return driver_state(self.held(STATE_TOLD_BY))

    def rows(self, entity: str, title: str = "") -> list[dict[str, Value]]:
        """Returns the rows of an entity's tables whose title begins with `title`."""
        if (entity, title) in self._rows:
            self.decoded(entity)
        else:
            with self._or_not_judged(entity):
                self._rows[entity, title] = list(self._table_rows(entity, title))
        return self._rows[entity, title]

    def _table_rows(self, entity: str, title: str) -> Iterator[dict[str, Value]]:
        for part in self.decoded(entity):
            if isinstance(part, Table) and part.title.startswith(title):
                names = [column.name for column in part.columns]
                for row in part.rows:
                    yield dict(zip(names, row, strict=True))

    @contextmanager
    def _or_not_judged(self, entity: str) -> Iterator[None]:
        """Turns what keeps an entity from being read into NotJudged, and keeps what is damage."""
        try:
            yield
        except CudbgError as error:
            text = str(error)
            text = text if text.startswith(entity) else f"{entity}: {text}"
            if isinstance(error, DumpFormatError) and not isinstance(error, UnknownFormat):
                self.damage[entity] = text
            raise NotJudged(text) from error

    def items(self, entity: str) -> dict[str, Value]:
        """Returns the named values of an entity."""
        parts = [part for part in self.decoded(entity) if isinstance(part, Fields)]
        return {item.name: item.value for part in parts for item in part.items}


def _as_words(start: int, data: Bytes) -> tuple[int, memoryview]:
    """Returns the offset of the first whole word of a part, and the words."""
    skipped = -start % WORD_BYTES
    count = max(len(data) - skipped, 0) // WORD_BYTES
    held = memoryview(bytes(data[skipped : skipped + count * WORD_BYTES]))
    return start + skipped, held.cast("I")


def _value_at(position: int, parts: Sequence[tuple[int, memoryview]]) -> int | None:
    """Returns the word at a byte offset; None if it is in none of the parts."""
    for start, words in parts:
        if 0 <= position - start < len(words) * WORD_BYTES:
            return int(words[(position - start) // WORD_BYTES])
    return None
