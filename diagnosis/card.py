"""The card as the rules see it: registers by name with their instances, and decoded entities.

Whatever the dump lacks is `NotJudged`: the rule that asked is then listed as lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.cudbg import CudbgError, Dump, DumpFormatError, UnknownFormat
from vmcoredd.cudbg.blank import nothing_in
from vmcoredd.cudbg.core_clock import EXPLAINED_BY, CoreClock, core_clock
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Table, Value
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.words import RegisterEntity, Word

REG_DUMP = "REG_DUMP"
NO_ACCESS = 0xEEEEEEEE
"""What a function without access reads (t4_hw.h, CIM_PF_NOACCESS)."""


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
        self._held: dict[str, memoryview] = {}
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

    @property
    def chip(self) -> Chip:
        """The chip generation."""
        return self.dump.chip

    def _words_of(self, entity: str) -> memoryview:
        """Returns the 32-bit words that an entity's bytes are; raises NotJudged if it cannot be
        had. REG_DUMP is judged as far as it goes, others by what they are if complete."""
        if entity not in self._held:
            with self._or_not_judged(entity):
                raw = memoryview(self.dump.raw(entity))
                if entity != REG_DUMP:
                    self.dump.decoder(entity).need_known(raw, self.chip)
            self._held[entity] = raw[: len(raw) // WORD_BYTES * WORD_BYTES].cast("I")
        return self._held[entity]

    @cached_property
    def _says_nothing(self) -> str:
        """What all registers read as where none of them tells anything; empty elsewhere."""
        for word in self.raw_words("PL_WHOAMI"):
            if word.value in (U32_MASK, NO_ACCESS):
                return f"{word.value:08x}"
        return "" if any(self._words_of(REG_DUMP)) else "all zero"

    def runs(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Yields the ranges of the register dump: the first offset, and the words."""
        for start, count in self.chip.ranges("reg_dump"):
            first = start // WORD_BYTES
            yield start, self._words_of(REG_DUMP)[first : first + count]

    def words(self, name: str, entity: str = REG_DUMP) -> list[Word]:
        """Returns all instances of a register in an entity; none if this chip does not have it.

        Raises NotJudged if the entity cannot be read, or if all of it or all instances read as
        all ones. Single instances that do are left out, and kept in `unanswered`.
        """
        if entity == REG_DUMP and self._says_nothing:
            raise NotJudged(f"REG_DUMP reads as {self._says_nothing}")
        found = self.raw_words(name, entity)
        answered = [word for word in found if not self._is_unanswered(word)]
        if found and not answered:
            where = "" if entity == REG_DUMP else f"{entity}: "
            raise NotJudged(f"{where}registers that read as ffffffff")
        self.unanswered.update(word.offset for word in found if word not in answered)
        return answered

    def _is_unanswered(self, word: Word) -> bool:
        """Whether a word is no value but a read that failed: all ones, in bits too that the
        register does not have, or where the card answers no more."""
        if word.value != U32_MASK or word.entity != REG_DUMP:
            return word.value == U32_MASK
        has = sum(field.mask for field in word.register.fields) if word.register else 0
        return has not in (0, U32_MASK) or (self.gone_from or U32_MASK) <= word.offset

    @cached_property
    def gone_from(self) -> int | None:
        """The offset from which on all registers read as all ones; None if the dump ends well.

        It is read in the order of offsets: there the card fell off the bus.
        """
        gone = None
        for start, words in reversed(list(self.runs())):
            last = next((i for i in reversed(range(len(words))) if words[i] != U32_MASK), -1)
            if last + 1 < len(words):
                gone = start + WORD_BYTES * (last + 1)
            if last >= 0:
                break
        return gone

    def raw_words(self, name: str, entity: str = REG_DUMP) -> list[Word]:
        """Returns all instances of a register, even if the card is off the bus."""
        holder, held = entities()[entity], self._words_of(entity)
        if name not in self.chip.r or not isinstance(holder, RegisterEntity):
            return []
        found: list[Word] = []
        for register in self.chip.r.instances(name):
            for element, (space, offset, position) in holder.places_of(register, self.chip):
                if position // WORD_BYTES >= len(held):
                    raise NotJudged(f"{entity} ends before {offset:#x}")
                value = held[position // WORD_BYTES]
                found.append(Word(entity, space, offset, value, register, element))
        return found

    def word(self, name: str, entity: str = REG_DUMP) -> Word:
        """Returns the one instance, or the first, of a register; raises NotJudged if none is in
        the entity."""
        for word in self.words(name, entity):
            return word
        raise NotJudged(f"{name} is not in {entity}")

    def decoded(self, entity: str) -> Decoded:
        """Returns a decoded entity; raises NotJudged if it cannot be had."""
        if entity not in self._decoded:
            with self._or_not_judged(entity):
                found = self.dump.decode(entity)
                if why := nothing_in(found):
                    raise NotJudged(f"{entity}: {why}")
                self._decoded[entity] = found
        return self._decoded[entity]

    def blob(self, entity: str) -> Bytes:
        """Returns an entity's raw bytes; raises NotJudged if they cannot be had."""
        with self._or_not_judged(entity):
            return self.dump.blob(entity)

    @cached_property
    def core_clock(self) -> CoreClock:
        """The core clock, as far as the dump tells it."""
        held: dict[str, Bytes] = {}
        for name in EXPLAINED_BY:
            with suppress(NotJudged), self._or_not_judged(name):
                self.dump.decoder(name)
                held[name] = self.dump.blob(name)
        return core_clock(held)

    def rows(self, entity: str, title: str = "") -> list[dict[str, Value]]:
        """Returns the rows of an entity's tables whose title begins with `title`."""
        if (entity, title) not in self._rows:
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
