"""The card as the rules see it: registers by name with their instances, and decoded entities.

Whatever the dump lacks is `NotJudged`: the rule that asked is then listed as lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property

from vmcoredd.chip import Chip
from vmcoredd.chip.instances import instance_of
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.chip.register import Register
from vmcoredd.cudbg import CudbgError, Dump, DumpFormatError, UnknownFormat
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Table, Value
from vmcoredd.diagnosis.finding import Evidence

REG_DUMP = "REG_DUMP"
BIT = "bit "
"""How the name of a bit begins that no field has."""
_HEAD = 4096
"""Bytes of an entity that tell whether it is all ones."""
NO_ACCESS = 0xEEEEEEEE
"""What a function without access reads (t4_hw.h, CIM_PF_NOACCESS)."""


class NotJudged(CudbgError):
    """The dump does not have what a rule asks for; the text is the entity and the reason."""


@dataclass(frozen=True, slots=True)
class Word:
    """A register of the dump and its value."""

    register: Register
    offset: int
    value: int
    instance: str = ""
    """`EDC0`, `port 1`; empty where there is one only."""

    @property
    def name(self) -> str:
        """The register's name."""
        return self.register.name

    def get(self, field: str) -> int:
        """Returns the value of a field, or of a bit that no field has (`bit 27`)."""
        if field.startswith(BIT):
            return self.value >> int(field.removeprefix(BIT)) & 1
        return self.register.get(self.value, field)

    def evidence(self, field: str = "") -> Evidence:
        """Returns the word as evidence, or a field of it."""
        value = self.get(field) if field else self.value
        place = (self.name, self.offset, self.instance, field)
        return Evidence(REG_DUMP, value, *place, word=self.value)


class Card:
    """A dump's card. Entities are decoded once, when a rule asks for them."""

    def __init__(self, dump: Dump) -> None:
        self.dump = dump
        self.unanswered: set[int] = set()
        """Offsets of registers that read as all ones beside instances that do not."""
        self.damage: dict[str, str] = {}
        """What is damaged of the entities that rules asked for, by name."""
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

    @cached_property
    def _registers(self) -> memoryview:
        with self._or_not_judged(REG_DUMP):
            raw = self.dump.raw(REG_DUMP)
        return memoryview(raw[: len(raw) // WORD_BYTES * WORD_BYTES]).cast("I")

    @cached_property
    def _says_nothing(self) -> str:
        """What all registers read as where none of them tells anything; empty elsewhere."""
        if self._value(int(self.chip.r.PL_WHOAMI)) in (U32_MASK, NO_ACCESS):
            return f"{self._value(int(self.chip.r.PL_WHOAMI)):08x}"
        return "" if any(self._registers) else "all zero"

    def runs(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Yields the ranges of the register dump: the first offset, and the words."""
        for start, count in self.chip.ranges("reg_dump"):
            first = start // WORD_BYTES
            yield start, self._registers[first : first + count]

    def words(self, name: str) -> list[Word]:
        """Returns all instances of a register; none if this chip does not have it.

        Raises NotJudged if the register dump cannot be read, or if all of it or all instances
        read as all ones. Single instances that do are left out, and kept in `unanswered`.
        """
        if self._says_nothing:
            raise NotJudged(f"REG_DUMP reads as {self._says_nothing}")
        found = self.raw_words(name)
        answered = [word for word in found if not self._is_unanswered(word)]
        if found and not answered:
            raise NotJudged("registers that read as ffffffff")
        self.unanswered.update(word.offset for word in found if word not in answered)
        return answered

    def _is_unanswered(self, word: Word) -> bool:
        """Whether a word is no value but a read that failed: all ones, in bits too that the
        register does not have, or where the card answers no more."""
        if word.value != U32_MASK:
            return False
        has = sum(field.mask for field in word.register.fields)
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

    def raw_words(self, name: str) -> list[Word]:
        """Returns all instances of a register, even if the card is off the bus."""
        if name not in self.chip.r:
            return []
        found = self.chip.r.instances(name)
        places = ((register, i) for register in found for i in range(register.count))
        return [
            Word(register, register[i], value, instance_of(register, i))
            for register, i in places
            if (value := self._value(register[i])) is not None
        ]

    def word(self, name: str) -> Word:
        """Returns the one instance, or the first, of a register; raises NotJudged if none is in
        the dump."""
        for word in self.words(name):
            return word
        raise NotJudged(f"{name} is not in REG_DUMP")

    def _value(self, offset: int) -> int | None:
        """Returns a word of the register dump; None if it does not read that offset."""
        if offset not in _described(self.chip):
            return None
        if offset // WORD_BYTES >= len(self._registers):
            raise NotJudged(f"REG_DUMP ends before {offset:#x}")
        return int(self._registers[offset // WORD_BYTES])

    def decoded(self, entity: str) -> Decoded:
        """Returns a decoded entity; raises NotJudged if it cannot be had."""
        if entity not in self._decoded:
            with self._or_not_judged(entity):
                if not bytes(self.dump.blob(entity)[:_HEAD]).strip(b"\xff"):
                    raise NotJudged(f"{entity} reads as all ones")
                self._decoded[entity] = self.dump.decode(entity)
        return self._decoded[entity]

    def blob(self, entity: str) -> Bytes:
        """Returns an entity's raw bytes; raises NotJudged if they cannot be had."""
        with self._or_not_judged(entity):
            return self.dump.blob(entity)

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


@cache
def _described(chip: Chip) -> frozenset[int]:
    """Returns the offsets that a register dump reads."""
    ranges = chip.ranges("reg_dump")
    return frozenset(start + WORD_BYTES * i for start, count in ranges for i in range(count))
