"""CIM_QCFG, CIM_IBQ_*, CIM_OBQ_*, PBT_TABLE: the embedded processor's queues and tables."""

from __future__ import annotations

from collections.abc import Mapping

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.cim import (
    FLIT_BYTES,
    INBOUND,
    INBOUND_WORDS,
    OBQ_REAL_WORDS,
    OUTBOUND,
    PBT_ADDRESS_ENTRY,
    PBT_ADDRESS_SHIFT,
    PBT_TABLES,
    QUEUE_UNIT_BYTES,
    STATUS_WORDS,
    THRESHOLD_UNIT,
)
from vmcoredd.chip.cim import Table as CimTable
from vmcoredd.chip.layout import (
    U16_MASK,
    U32_MASK,
    WORD_BYTES,
    LittleStruct,
    sizeof,
    u8,
    u16,
    u32,
    u32s,
)
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.cudbg.words import words_of_space
from vmcoredd.hw.indirect import cim_read, cim_read_ops
from vmcoredd.hw.io import Cell, Each, Io, Op, Poll, Read, Write

# CIM_QCFG: how the queues are laid out and filled

_QUEUES = (*INBOUND, *OUTBOUND)
_READ_OUTBOUND = 6
"""Outbound queues whose state cudbg reads. It reads words for eight, but those registers are of T4,
which has six: the words from UP_IBQ_0_RDADDR + 0xc0 on are not of a queue. debugfs reads
the shadow registers, which have all."""


class QueueLayout(LittleStruct):
    """struct cudbg_cim_qcfg: sizes and bases in bytes, inbound queues first."""

    _fields_ = (
        ("chip", u8),
        ("base", u16 * len(_QUEUES)),
        ("size", u16 * len(_QUEUES)),
        ("thres", u16 * len(INBOUND)),
        ("obq_wr", u32 * (OBQ_REAL_WORDS * len(OUTBOUND))),
        ("stat", u32 * (STATUS_WORDS * len(_QUEUES))),
    )


@entity(5, "CIM_QCFG")
class CimQcfg(Entity):
    """Configuration and state of the embedded processor's queues (cudbg_collect_cim_qcfg())."""

    all_zero = "NOT MEASURED: All bytes are 0, also the sizes of queues, which every card has."
    layouts = (QueueLayout,)
    raw_bytes = sizeof(QueueLayout)
    accesses = 246

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(sizeof(QueueLayout))
        layout = QueueLayout.from_buffer(area)
        layout.chip = ctx.device.code
        pointers = area[QueueLayout.stat.offset :]
        cim_read(io, chip, [(chip.r.UP_IBQ_0_RDADDR, STATUS_WORDS * len(_QUEUES))], pointers)
        written = area[QueueLayout.obq_wr.offset : QueueLayout.stat.offset]
        cim_read(io, chip, [(chip.r.UP_OBQ_0_REALADDR, OBQ_REAL_WORDS * len(OUTBOUND))], written)
        words = _read_configuration(io, chip)  # t4_read_cimq_cfg()
        ctrl, inbound = chip.r.CIM_QUEUE_CONFIG_CTRL, words[: len(INBOUND)]
        layout.base = [ctrl.get(word, "QueBase") * QUEUE_UNIT_BYTES for word in words]
        layout.size = [ctrl.get(word, "QueSize") * QUEUE_UNIT_BYTES for word in words]
        layout.thres = [ctrl.get(word, "QueFullThrsh") * THRESHOLD_UNIT for word in inbound]

    explained_by = ("UP_CIM_INDIRECT",)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        layout = self.parse(QueueLayout, blob)
        shadow = words_of_space(
            others, "UP_CIM_INDIRECT", chip.r.UP_IBQ_0_SHADOW_RDADDR.space, chip
        )
        inbound = [_inbound(layout, i) for i in range(len(INBOUND))]
        outbound = [_outbound(layout, i) for i in range(_READ_OUTBOUND)]
        late = range(_READ_OUTBOUND, len(OUTBOUND))
        outbound += [_shadowed(layout, i, shadow, chip) for i in late]
        names = " and ".join(OUTBOUND[i].name for i in late)
        known = "as in UP_CIM_INDIRECT" if shadow else "not in the dump"
        title = f"outbound queues; the state of {names} is {known}"
        return Decoded(
            [Table("inbound queues", _COLUMNS, inbound), Table(title, _COLUMNS, outbound)]
        )


def _read_configuration(io: Io, chip: Chip) -> tuple[int, ...]:
    select = chip.r.CIM_QUEUE_CONFIG_REF
    rows = [select.of(QueNumSelect=queue.number, **{queue.select: 1}) for queue in _QUEUES]
    return u32s(io.run([Write(select, Cell()), Read(chip.r.CIM_QUEUE_CONFIG_CTRL)], rows))


_COLUMNS = (
    Column("queue"),
    Column("base", "x"),
    Column("size", "d"),
    Column("threshold", "d"),
    Column("read", "x"),
    Column("write", "x"),
    Column("packets begun", "d"),
    Column("ended", "d"),
    Column("free bytes", "d"),
)
"""Bases and pointers in hex, as debugfs has them."""


def _inbound(layout: QueueLayout, i: int) -> list[Value]:
    read, write, free, packets = layout.stat[STATUS_WORDS * i : STATUS_WORDS * (i + 1)]
    shape = [_shape(half) for half in (layout.base[i], layout.size[i], layout.thres[i])]
    pointers = [_answered(word, word & 0x1FFF) for word in (read, write)]
    return [INBOUND[i].name, *shape, *pointers, *_filling(free, packets)]


def _outbound(layout: QueueLayout, queue: int) -> list[Value]:
    i = len(INBOUND) + queue
    read, _, free, packets = layout.stat[STATUS_WORDS * i : STATUS_WORDS * (i + 1)]
    write = layout.obq_wr[OBQ_REAL_WORDS * queue]
    pointers = [
        _answered(read, read & 0x3FFF),
        _answered(write, write - layout.base[i] & U32_MASK),
    ]
    return [*_outbound_shape(layout, queue), *pointers, *_filling(free, packets)]


def _shadowed(
    layout: QueueLayout, queue: int, shadow: Mapping[int, int], chip: Chip
) -> list[Value]:
    """Returns the row of a queue beyond those that cudbg reads, from the words of
    UP_CIM_INDIRECT; without them, what is known."""
    i = len(INBOUND) + queue
    first = chip.r.UP_IBQ_0_SHADOW_RDADDR + WORD_BYTES * STATUS_WORDS * i
    real = chip.r.UP_OBQ_0_SHADOW_REALADDR + WORD_BYTES * OBQ_REAL_WORDS * queue
    offsets = [real, *(first + WORD_BYTES * word for word in (0, 2, 3))]
    shape = _outbound_shape(layout, queue)
    if not all(offset in shadow for offset in offsets):
        return [*shape, *(None,) * (len(_COLUMNS) - len(shape))]
    write, read, free, packets = (shadow[offset] for offset in offsets)
    write = write - layout.base[i] & U32_MASK
    return [*shape, read & 0x3FFF, write, *_filling(free, packets)]


def _outbound_shape(layout: QueueLayout, queue: int) -> list[Value]:
    i = len(INBOUND) + queue
    return [OUTBOUND[queue].name, _shape(layout.base[i]), _shape(layout.size[i]), None]


def _shape(half: int) -> Value:
    """Returns a base, size or threshold; nothing if it is all ones, which is no multiple."""
    return None if half == U16_MASK else half


def _filling(free: int, packets: int) -> list[Value]:
    """Returns packets begun, ended, free bytes (QUESOPCNT, QUEEOPCNT, QUEREMFLITS: t4_regs.h)."""
    counts = [_answered(packets, packets >> shift & 0xFFF) for shift in (0, 16)]
    return [*counts, _answered(free, (free & 0x7FF) * FLIT_BYTES)]


def _answered(word: int, value: int) -> Value:
    """Returns what a word says; nothing if it is all ones, which no pointer and no count is."""
    return None if word == U32_MASK else value


# CIM_IBQ_*, CIM_OBQ_*: the contents of the queues

_ROW_WORDS = 4
_ROW_BYTES = _ROW_WORDS * WORD_BYTES
_INBOUND_BYTES = INBOUND_WORDS * WORD_BYTES
_INBOUND_ATTEMPTS = 1_000_000
_OUTBOUND_ATTEMPTS = 2


class QueueMemory(Entity):
    """The memory of one queue, read word by word."""

    momentary = Kind.CAPTURE
    all_zero = "EMPTY: All {count} words of the queue's memory are 0."
    queue: int

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        self.need_records(blob, QUEUE_UNIT_BYTES)
        columns = [Column("offset", "x4")]
        columns += [Column(f"+{WORD_BYTES * i:x}", "x8") for i in range(_ROW_WORDS)]
        starts = range(0, len(blob), _ROW_BYTES)
        rows = Lazy(lambda: ([at, *u32s(blob[at : at + _ROW_BYTES])] for at in starts))
        return Decoded([Table("queue memory", columns, rows)])


@entity(6, "CIM_IBQ_TP0", queue=0)
@entity(7, "CIM_IBQ_TP1", queue=1)
@entity(8, "CIM_IBQ_ULP", queue=2)
@entity(9, "CIM_IBQ_SGE0", queue=3)
@entity(10, "CIM_IBQ_SGE1", queue=4)
@entity(11, "CIM_IBQ_NCSI", queue=5)
class InboundQueue(QueueMemory):
    """The contents of a queue to the embedded processor (cudbg_read_cim_ibq())."""

    raw_bytes = _INBOUND_BYTES
    accesses = 1537

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(_INBOUND_BYTES), chip.r
        config = r.CIM_IBQ_DBG_CFG
        address = config.field("IbqDbgAddr").put(self.queue * INBOUND_WORDS)
        requests = Each(address | config.of(IbqDbgEn=1), 1 << config.field("IbqDbgAddr").shift)
        busy = Poll(config, config.mask("IbqDbgBusy"), 0, _INBOUND_ATTEMPTS, delay_us=1)
        _read_memory(io, config, requests, busy, r.CIM_IBQ_DBG_DATA, area)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return super().decode(self.need(blob, _INBOUND_BYTES), chip)


@entity(12, "CIM_OBQ_ULP0", queue=0)
@entity(13, "CIM_OBQ_ULP1", queue=1)
@entity(14, "CIM_OBQ_ULP2", queue=2)
@entity(15, "CIM_OBQ_ULP3", queue=3)
@entity(16, "CIM_OBQ_SGE", queue=4)
@entity(17, "CIM_OBQ_NCSI", queue=5)
@entity(47, "CIM_OBQ_RXQ0", queue=6)
@entity(48, "CIM_OBQ_RXQ1", queue=7)
class OutboundQueue(QueueMemory):
    """The contents of a queue from the embedded processor (cudbg_read_cim_obq()).

    The driver reads the configuration once for the size, and once more for the base.
    """

    raw_bytes = None
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        size, _ = self._extent(io, chip)
        area, r = ctx.area(size), chip.r
        size, base = self._extent(io, chip)
        config = r.CIM_OBQ_DBG_CFG
        address = config.field("ObqDbgAddr").put(base // WORD_BYTES)
        requests = Each(address | config.of(ObqDbgEn=1), 1 << config.field("ObqDbgAddr").shift)
        busy = Poll(config, config.mask("ObqDbgBusy"), 0, _OUTBOUND_ATTEMPTS, delay_us=1)
        _read_memory(io, config, requests, busy, r.CIM_OBQ_DBG_DATA, area[:size])
        if not size:
            raise Status(Code.SYSTEM_ERROR, sys_err=Code.SYSTEM_ERROR)

    def _extent(self, io: Io, chip: Chip) -> tuple[int, int]:
        """Returns the queue's size and base in bytes."""
        ref, ctrl = chip.r.CIM_QUEUE_CONFIG_REF, chip.r.CIM_QUEUE_CONFIG_CTRL
        io.write(ref, ref.of(OBQSelect=1, QueNumSelect=self.queue))
        word = io.read(ctrl)
        size, base = ctrl.get(word, "QueSize"), ctrl.get(word, "QueBase")
        return size * QUEUE_UNIT_BYTES, base * QUEUE_UNIT_BYTES


def _read_memory(
    io: Io, config: Register, requests: Each, busy: Poll, data: Register, out: memoryview
) -> None:
    """Requests every word, then clears the request; after a failure the last request remains."""
    ops: list[Op] = [Write(config, requests), busy, Read(data)]
    io.run(ops, len(out) // WORD_BYTES, out)
    io.write(config, 0)


# PBT_TABLE: the page and function tables

_PBT_ADDRESSES = [t.address + WORD_BYTES * i for t in PBT_TABLES for i in range(t.words)]
_PBT_BYTES = WORD_BYTES * len(_PBT_ADDRESSES)


@entity(65, "PBT_TABLE")
class PbtTable(Entity):
    """The embedded processor's page and function tables (cudbg_collect_pbt_tables())."""

    momentary = Kind.WORK
    all_zero = "EMPTY: None of {count} entries is valid: all are 0."
    raw_bytes = _PBT_BYTES
    accesses = 2176

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        io.run(cim_read_ops(chip, Cell()), _PBT_ADDRESSES, ctx.area(_PBT_BYTES))

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, _PBT_BYTES))
        columns = [Column("table"), Column("entry", "d")]
        columns += [Column("address", "x4"), Column("value", "x8"), Column("fields")]
        return Decoded([Table("entries", columns, Lazy(lambda: _pbt_rows(words)))])


def _pbt_rows(words: tuple[int, ...]) -> list[list[Value]]:
    entries = [(table, i) for table in PBT_TABLES for i in range(table.words)]
    return [
        [table.name, i, address, word, _pbt_fields(table, word)]
        for (table, i), address, word in zip(entries, _PBT_ADDRESSES, words, strict=True)
    ]


def _pbt_fields(table: CimTable, word: int) -> dict[str, int]:
    """Returns the fields of an entry that holds an address, none of the other tables' entries."""
    if not table.holds_addresses:
        return {}
    fields = {field.name: field.get(word) for field in PBT_ADDRESS_ENTRY}
    return fields | {"address": fields["address"] << PBT_ADDRESS_SHIFT}
