"""Records of words read through an index port: what TP_INDIRECT and its likes are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

from vmcoredd.chip import Chip
from vmcoredd.chip.csvtables import IndirectRange
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity
from vmcoredd.cudbg.named import COLUMNS, named
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Cell, Io, Read, Write


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
        self.ireg_addr, self.ireg_data = chip.r[item.address_register], chip.r[item.data_register]
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
        """Every range through its own port (t4_read_indirect()), all under way together."""
        area, ranges = ctx.area(self.size(chip)), self.ranges(chip)
        words = memoryview(bytearray(4 * sum(item.words for item in ranges)))
        try:
            self.read(io, chip, ranges, words)
        except DeviceError as error:
            self._fill(chip, area, words[: error.used])
            raise
        self._fill(chip, area, words)

    def read(self, io: Io, chip: Chip, ranges: Sequence[IndirectRange], words: memoryview) -> None:
        """The words of all ranges, one behind the other."""
        rows: list[tuple[int, int, int]] = []
        for item in ranges:
            rows += zip(
                repeat(chip.r[item.address_register]),
                item.indices,
                repeat(chip.r[item.data_register]),
            )
        io.run([Write(Cell(0), Cell(1)), Read(Cell(2))], rows, words)

    def describe(self, chip: Chip, item: IndirectRange, record: Record) -> None:
        """Fills in a record but for its words."""
        record.describe(chip, item)

    def _fill(self, chip: Chip, area: memoryview, words: memoryview) -> None:
        """Records as far as `words` go; the one that a failure broke off, too."""
        for item, record, place in records(area, self.ranges(chip)):
            self.describe(chip, item, record)
            place[: len(words)] = words[: len(place)]
            if len(words) < len(place):
                return
            words = words[len(place) :]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        """One table: every word with its name and fields."""
        data = bytes(self.need(blob, self.size(chip)))
        return Decoded([Table("registers", _COLUMNS, Lazy(lambda: _rows(data, self, chip)))])


_COLUMNS = (Column("space"), Column("index", "x5"), *COLUMNS)


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
            yield [item.space, index, *named(chip, index, word, item.space)]
