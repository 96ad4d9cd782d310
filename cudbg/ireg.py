"""Records of words read through an index port: what TP_INDIRECT and its likes are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chip import Chip
from chip.layout import LittleStruct, sizeof, u32
from chip.spans import IndirectRange
from cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from cudbg.entity import Context, Entity
from cudbg.io import Column as Cell
from cudbg.io import Io, Read, Write


class Record(LittleStruct):
    """struct ireg_buf: up to 32 words, and how they were read."""

    _fields_ = (
        ("ireg_addr", u32),
        ("ireg_data", u32),
        ("ireg_local_offset", u32),
        ("ireg_offset_range", u32),
        ("outbuf", u32 * 32),
    )

    def describe(self, chip: Chip, item: IndirectRange) -> None:
        """Fills in all but the words."""
        self.ireg_addr, self.ireg_data = chip.r[item.port], chip.r[item.data]
        self.ireg_local_offset, self.ireg_offset_range = item.first, item.words


class IregEntity(Entity):
    """An entity of such records; the decorator says which ranges (`chip.indirect`) they hold."""

    groups: Sequence[str]
    unused = 0
    """Records that the kernel makes room for and leaves zero."""

    def ranges(self, chip: Chip) -> list[IndirectRange]:
        """What the records hold, in order."""
        return [item for group in self.groups for item in chip.indirect(group)]

    def size(self, chip: Chip) -> int:
        """Bytes of the entity."""
        return sizeof(Record) * (len(self.ranges(chip)) + self.unused)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        """Every range through its own port (t4_read_indirect())."""
        area = ctx.area(self.size(chip))
        for item, record, words in records(area, self.ranges(chip)):
            record.describe(chip, item)
            self.read(io, chip, item, words)

    def read(self, io: Io, chip: Chip, item: IndirectRange, words: memoryview) -> None:
        """The words of one range."""
        io.run([Write(chip.r[item.port], Cell()), Read(chip.r[item.data])], item.indices, words)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        """One table: every word with its name and fields."""
        data = bytes(self.need(blob, self.size(chip)))
        return Decoded([Table("registers", _COLUMNS, Lazy(lambda: _rows(data, self, chip)))])


_COLUMNS = (
    Column("space"),
    Column("index", "x5"),
    Column("register"),
    Column("value", "x8"),
    Column("fields"),
)


def records(
    area: memoryview, ranges: Sequence[IndirectRange]
) -> Iterator[tuple[IndirectRange, Record, memoryview]]:
    """Each range with its record in `area`, and the place of the record's words."""
    for i, item in enumerate(ranges):
        start = i * sizeof(Record)
        first = start + Record.outbuf.offset
        yield item, Record.from_buffer(area, start), area[first : first + 4 * item.words]


def _rows(data: bytes, entity: IregEntity, chip: Chip) -> Iterator[list[Value]]:
    area = memoryview(bytearray(data))
    for item, record, _ in records(area, entity.ranges(chip)):
        for index, word in zip(item.indices, record.outbuf, strict=False):
            place = chip.r.at(index, item.space)
            fields = place.register.decode(word) if place else {}
            shown = " ".join(f"{name}={value:#x}" for name, value in fields.items())
            yield [item.space, index, str(place) if place else "", word, shown]
