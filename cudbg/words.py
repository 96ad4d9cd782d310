"""The register words of a dump, wherever it holds them: REG_DUMP and the indirect entities.

    for word in words(dump): print(word.name, word.instance, hex(word.value))
    for word in find(dump, "EDC_H_INT_CAUSE"): ...      # EDC0's and EDC1's

An entity of such words is a `RegisterEntity`: it says where in its bytes each word is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from vmcoredd.chip import Chip
from vmcoredd.chip.instances import block_of, instance_of, label_of
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, u32s
from vmcoredd.chip.model import CHIPS
from vmcoredd.chip.register import Register
from vmcoredd.cudbg.counters import counters
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Part, Table, Value
from vmcoredd.cudbg.dump import Dump, NoSuchEntity
from vmcoredd.cudbg.entity import Entity, entities, measured
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat, unexpected_is_damage
from vmcoredd.cudbg.remains import Remains, in_part


class Place(NamedTuple):
    """Where an entity has a word: its space, its offset there, and that in the entity's bytes."""

    space: str
    offset: int
    position: int


class Word(NamedTuple):
    """A register's word in a dump; without a `register` if the chip's tables describe none."""

    entity: str
    space: str
    """`bar0`, or an indirect space such as `tp_pio`."""
    offset: int
    """In bytes in BAR0; the index in other spaces."""
    value: int
    register: Register | None
    element: int
    """The index in an array of registers, most of which have one per port or function."""

    @property
    def name(self) -> str:
        """The register's name, the same for all elements; empty if it is undescribed."""
        return self.register.name if self.register is not None else ""

    @property
    def label(self) -> str:
        """The name, with the element (`PCIE_FW_PF[4]`) where the instance does not tell it."""
        return label_of(self.register, self.element) if self.register is not None else ""

    @property
    def instance(self) -> str:
        """`EDC0`, `MC1`, `port 2`, `PF4`; empty where there is only one."""
        return instance_of(self.register, self.element) if self.register is not None else ""

    @property
    def block(self) -> str:
        """`SGE`, `EDC`, `MPS`; empty if it is undescribed."""
        return block_of(self.register) if self.register is not None else ""

    @property
    def reset(self) -> int | None:
        """The value after reset; None where it is not known, as of nearly all registers."""
        register = self.register
        if register is None or not register.reset_source or self.element:
            return None
        return register.reset

    def fields(self) -> dict[str, int]:
        """Returns the value of every field, highest first; empty if the word is one value."""
        return self.register.decode(self.value) if self.register is not None else {}

    def get(self, field: str) -> int:
        """Returns the value of a field, or of a bit that no field has (`bit 27`); raises
        UnknownRegister if there is no such field."""
        return (self.register if self.register is not None else _UNDESCRIBED).get(self.value, field)

    def names_of(self, bits: int) -> Iterator[str]:
        """Yields the names of the fields that have one of `bits`; `bit 27` where none has one."""
        return (self.register if self.register is not None else _UNDESCRIBED).names_of(bits)


_UNDESCRIBED = Register.of_rows({}, {})
"""Has no fields."""


class RegisterEntity(Entity):
    """An entity that holds words of registers."""

    def places(self, chip: Chip) -> Iterator[Place]:
        """Yields where each word is."""
        raise NotImplementedError

    def places_of(self, register: Register, chip: Chip) -> Iterator[tuple[int, Place]]:
        """Yields the elements of a register that it holds, and where each is."""
        for element in range(register.count):
            at = register.space, register[element]
            position = self.position(*at, chip)
            if position is not None:
                yield element, Place(*at, position)

    def position(self, space: str, offset: int, chip: Chip) -> int | None:
        """Returns where in its bytes it has a word; None if it does not hold that one."""
        return _positions(self, chip).get((space, offset))

    def words(self, blob: Bytes, chip: Chip, start: int = 0) -> Iterator[Word]:
        """Yields each word that is in `blob`, which begins at byte `start` of the entity."""
        skipped = -start % WORD_BYTES
        first = start + skipped
        held = u32s(blob[skipped : skipped + (len(blob) - skipped) // WORD_BYTES * WORD_BYTES])
        name, at, end = self.name, chip.r.at, first + len(held) * WORD_BYTES
        for space, offset, position in self.places(chip):
            if not first <= position < end:
                continue
            found = at(offset, space)
            register, element = found if found is not None else (None, 0)
            value = held[(position - first) // WORD_BYTES]
            yield Word(name, space, offset, value, register, element)


class RegisterTable(RegisterEntity):
    """An entity that holds nothing else, and is shown as one table of them."""

    def tables(self, words: Callable[[], list[Word]]) -> list[Part]:
        """Returns the table, and others of what is in it."""
        raise NotImplementedError

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        """Decodes every word with its name and fields, and the counters among them."""
        data = self.need_known(blob, chip)
        return Decoded(self.tables(cache(lambda: list(self.words(data, chip)))))

    def decode_remains(self, remains: Remains, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        """Decodes the words that are left."""
        whole = remains.resized(measured(self.raw_bytes, chip) or remains.size)
        left = [word for start, data in whole.parts for word in self.words(data, chip, start)]
        return in_part(whole, self.tables(lambda: left), remains.size)


@cache
def _positions(entity: RegisterEntity, chip: Chip) -> dict[tuple[str, int], int]:
    return {(place.space, place.offset): place.position for place in entity.places(chip)}


def words_of_space(
    others: Mapping[str, Bytes], name: str, space: str, chip: Chip
) -> dict[int, int]:
    """Returns the words of a space by offset, from the bytes of entity `name` in `others`; none if
    they are missing. Words that are all ones explain nothing."""
    blob, entity = others.get(name), entities()[name]
    if blob is None or not isinstance(entity, RegisterEntity):
        return {}
    found = (w for w in entity.words(blob, chip) if w.space == space)
    return {w.offset: w.value for w in found if w.value != U32_MASK}


REGISTER_COLUMNS = (
    Column("register"),
    Column("instance"),
    Column("value", "x8"),
    Column("fields"),
)
"""The columns of `register_cells`."""


def register_cells(word: Word) -> list[Value]:
    """Returns the cells of a row about a word: name, instance, value, fields."""
    return [word.label, word.instance, word.value, word.fields()]


def counter_table(walk: Callable[[], Iterable[Word]]) -> Table:
    """Returns the table of the 64-bit counters among the words that `walk` yields."""
    columns = [Column("counter"), Column("instance"), Column("value", "d")]
    return Table("64-bit counters that are not zero", columns, Lazy(lambda: _counters(walk())))


def _counters(found: Iterable[Word]) -> Iterator[list[Value]]:
    for counter in counters(found):
        if counter.value:
            yield [counter.name, counter.low.instance, counter.value]


def words(dump: Dump) -> Iterator[Word]:
    """Yields the words of all entities, of damaged ones those that are left."""
    for entity in dump.entities:
        if entity.good and isinstance(entities().get(entity.name), RegisterEntity):
            with suppress(DumpFormatError):
                yield from words_of(dump, entity.name)


def words_of(dump: Dump, name: str) -> Iterator[Word]:
    """Yields the words of one entity, none if it is not of registers.

    Raises NoSuchEntity, DumpFormatError or UnknownFormat, as `Dump.decode` does; of a damaged
    entity, after the words that are left of it.
    """
    remains, entity = dump.remains(name), dump.decoder(name)
    if isinstance(entity, RegisterEntity):
        with unexpected_is_damage(name):
            for start, data in remains.parts:
                yield from entity.words(data, dump.chip, start)
    if remains.held < remains.size or remains.is_open:
        dump.raw(name)  # raises what is wrong with it


def find(dump: Dump, name: str) -> list[Word]:
    """Returns the words of the register of that name, of all instances and elements.

    Decodes no others. Empty if the dump has none: its entity failed, or lost that part, or the chip
    has no such register. Raises UnknownRegister if no chip has it.
    """
    try:
        chip = dump.chip
    except UnknownFormat:
        return []
    if name not in chip.r:
        if not any(name in other.r for other in CHIPS):
            chip.r.instances(name)  # raises UnknownRegister
        return []
    return [word for register in chip.r.instances(name) for word in _of(dump, register)]


def _of(dump: Dump, register: Register) -> Iterator[Word]:
    for entity in entities().values():
        if isinstance(entity, RegisterEntity) and dump.chip in (entity.chips or CHIPS):
            for element, (space, offset, position) in entity.places_of(register, dump.chip):
                for start, data in _read(dump, entity.name):
                    at = position - start
                    if 0 <= at <= len(data) - WORD_BYTES:
                        value = int.from_bytes(data[at : at + WORD_BYTES], "little")
                        yield Word(entity.name, space, offset, value, register, element)


_Parts: TypeAlias = Sequence[tuple[int, Bytes]]
_read_before: WeakKeyDictionary[Dump, dict[str, _Parts]] = WeakKeyDictionary()


def _read(dump: Dump, name: str) -> _Parts:
    """Returns the parts of an entity's raw bytes that are left, with their offsets."""
    read = _read_before.setdefault(dump, {})
    if name not in read:
        read[name] = ()
        with suppress(DumpFormatError, NoSuchEntity):
            dump.decoder(name)
            read[name] = dump.remains(name).parts
    return read[name]
