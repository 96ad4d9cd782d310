"""TP_INDIRECT, PCIE_INDIRECT, PM_INDIRECT, MA_INDIRECT, UP_CIM_INDIRECT, HMA_INDIRECT: registers
that are read through an index register. SGE_INDIRECT has its own layout and file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat

from vmcoredd.chip import T6, Chip
from vmcoredd.chip.csvtables import IndirectRange
from vmcoredd.chip.layout import WORD_BYTES, LittleStruct, sizeof, u32
from vmcoredd.cudbg.asking import TP_SPACES, tp_words
from vmcoredd.cudbg.decoded import Column, Lazy, Part, Table
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, entity, per_chip
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.words import (
    REGISTER_COLUMNS,
    Place,
    RegisterTable,
    Word,
    counter_table,
    register_cells,
)
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import Group, cim_read
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
        """Fills in everything but the words."""
        self.ireg_addr, self.ireg_data = chip.r[item.address_register], chip.r[item.data_register]
        self.ireg_local_offset, self.ireg_offset_range = item.first, item.words


def records(
    area: memoryview, ranges: Sequence[IndirectRange]
) -> Iterator[tuple[IndirectRange, Record, memoryview]]:
    """Yields each range with its record in `area`, and the bytes of the record's words."""
    for i, item in enumerate(ranges):
        start = i * sizeof(Record)
        first = start + Record.outbuf.offset
        yield item, Record.from_buffer(area, start), area[first : first + WORD_BYTES * item.words]


class IndirectEntity(RegisterTable):
    """An entity of such records; `groups` are the ranges (`chip.indirect`) they hold."""

    all_zero = NOTHING_WRITTEN
    layouts = (Record,)
    groups: Sequence[str]
    unused = 0
    """Records that the kernel allocates and leaves zero."""
    has_counters = False
    """Whether some words are halves of 64-bit counters."""

    def ranges(self, chip: Chip) -> list[IndirectRange]:
        """Returns the ranges, in the order of their records."""
        return [item for group in self.groups for item in chip.indirect(group)]

    def size(self, chip: Chip) -> int:
        """Returns the entity's size in bytes."""
        return sizeof(Record) * (len(self.ranges(chip)) + self.unused)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        """Reads every range through its index register (t4_read_indirect()), in one program."""
        area, ranges = ctx.area(self.size(chip)), self.ranges(chip)
        words = memoryview(bytearray(WORD_BYTES * sum(item.words for item in ranges)))
        try:
            self.read(io, chip, ranges, words)
        except DeviceError as error:
            self._fill(chip, area, words[: error.used])
            raise
        self._fill(chip, area, words)

    def read(self, io: Io, chip: Chip, ranges: Sequence[IndirectRange], words: memoryview) -> None:
        """Reads the words of all ranges, in order."""
        rows: list[tuple[int, int, int]] = []
        for item in ranges:
            address, data = chip.r[item.address_register], chip.r[item.data_register]
            rows += zip(repeat(address), item.indices, repeat(data))
        io.run([Write(Cell(0), Cell(1)), Read(Cell(2))], rows, words)

    def describe(self, chip: Chip, item: IndirectRange, record: Record) -> None:
        """Fills in a record, except its words."""
        record.describe(chip, item)

    def _fill(self, chip: Chip, area: memoryview, words: memoryview) -> None:
        """Fills in as many records as `words` allow, including one that a failure cut short."""
        for item, record, room in records(area, self.ranges(chip)):
            self.describe(chip, item, record)
            room[: len(words)] = words[: len(room)]
            if len(words) < len(room):
                return
            words = words[len(room) :]

    def places(self, chip: Chip) -> Iterator[Place]:
        for i, item in enumerate(self.ranges(chip)):
            first = i * sizeof(Record) + Record.outbuf.offset
            for n, index in enumerate(item.indices):
                yield Place(item.space, index, first + n * WORD_BYTES)

    def tables(self, words: Callable[[], list[Word]]) -> list[Part]:
        rows = Lazy(lambda: ([word.space, word.offset, *register_cells(word)] for word in words()))
        counters = [counter_table(words)] if self.has_counters else []
        return [Table("registers", _COLUMNS, rows), *counters]


_COLUMNS = (Column("space"), Column("index", "x5"), *REGISTER_COLUMNS)


@entity(36, "TP_INDIRECT", groups=("tp_pio", "tp_tm_pio", "tp_mib"))
class TpIndirect(IndirectEntity):
    """The transport processor's registers (cudbg_collect_tp_indirect())."""

    has_counters = True
    raw_bytes = per_chip(t5=3024, t6=2736)
    accesses = per_chip(t5=490, t6=508)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        """Has the firmware read each range, if the driver may ask it."""
        if not ctx.device.attached:
            super().collect(io, chip, ctx)
            return
        for item, record, room in records(ctx.area(self.size(chip)), self.ranges(chip)):
            self.describe(chip, item, record)
            room[:] = tp_words(io, ctx, TP_SPACES[item.space], item.indices)


@entity(50, "PCIE_INDIRECT", groups=("pcie_pdbg", "pcie_cdbg"))
class PcieIndirect(IndirectEntity):
    """Debug words of the PCI Express interface (cudbg_collect_pcie_indirect()).

    The driver allocates twice as many records as its first table has; the sixth stays zero.
    """

    raw_bytes = 864
    accesses = 272
    unused = 1


@entity(51, "PM_INDIRECT", groups=("pm_rx", "pm_tx"))
class PmIndirect(IndirectEntity):
    """Debug words of the payload memory's managers (cudbg_collect_pm_indirect())."""

    raw_bytes = 576
    accesses = 212


@entity(61, "MA_INDIRECT", groups=("ma",))
class MaIndirect(IndirectEntity):
    """The memory arbiter's registers (cudbg_collect_ma_indirect()).

    The driver allocates twice as many records as its first table has; the sixth stays zero. For
    words that are not consecutive, it stores the index after the last one, and a count of 0.
    """

    chips = (T6,)
    raw_bytes = 864
    accesses = 206
    unused = 1

    def describe(self, chip: Chip, item: IndirectRange, record: Record) -> None:
        super().describe(chip, item, record)
        if item.step > 1:
            record.ireg_local_offset, record.ireg_offset_range = item.indices.stop, 0


@entity(64, "UP_CIM_INDIRECT", groups=("up_cim",))
class UpCimIndirect(IndirectEntity):
    """The embedded processor's registers (cudbg_collect_up_cim_indirect()).

    A failure leaves `sys_err` 0.
    """

    raw_bytes = per_chip(t5=1872, t6=3168)
    accesses = per_chip(t5=751, t6=1099)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        try:
            super().collect(io, chip, ctx)
        except DeadDevice:
            raise
        except DeviceError as error:
            raise Status(error.code) from error

    def read(self, io: Io, chip: Chip, ranges: Sequence[IndirectRange], words: memoryview) -> None:
        """Reads consecutive words as a group, others one by one (t4_cim_read())."""
        groups: list[Group] = []
        for item in ranges:
            if item.step == WORD_BYTES:
                groups.append((item.first, item.words))
            else:
                groups += [(address, 1) for address in item.indices]
        cim_read(io, chip, groups, words)


@entity(67, "HMA_INDIRECT", groups=("hma",))
class HmaIndirect(IndirectEntity):
    """The host memory agent's registers (cudbg_collect_hma_indirect())."""

    chips = (T6,)
    raw_bytes = 144
    accesses = 64
