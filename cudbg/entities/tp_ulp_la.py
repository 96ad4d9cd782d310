"""TP_LA, ULPRX_LA, ULPTX_LA: logic analysers of the transport processor and of the upper-layer
protocol engine (ULP)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmcoredd.chip import Chip, Field, Register
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u32s, u64, u64s
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.tp import (
    LA_ENTRIES,
    LA_FIELDS,
    LA_PACKET_FIELDS,
    LA_TUNNEL_FIELDS,
    LA_TUNNEL_PACKET,
    ULPRX_TRACE_WORDS,
    ULPRX_TRACES,
    ULPTX_ASIC_READS,
    ULPTX_ASIC_REGISTERS,
    ULPTX_INSTANCES,
    ULPTX_READS,
    ULPTX_STRIDE,
)
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Text, Value
from vmcoredd.cudbg.entity import NOTHING_TRACED, NOTHING_WRITTEN, Context, Entity, entity
from vmcoredd.hw.io import Cell, Each, Io, Op, Read, Write

# TP_LA

_INCOMPLETE = (1 << 64) - 1
_TP_CONTROL = 0xFFFF
"""The lower half of the configuration; the upper half is a mask, 0 in a crash kernel."""
_PAIRS = 2
_PACKETS = 3
"""Modes in which words come in pairs; in the second mode, the words of a pair differ in kind."""


class TpLayout(LittleStruct):
    """struct cudbg_tp_la with its data; the driver leaves the size 0."""

    _fields_ = (("size", u32), ("mode", u32), ("data", u64 * LA_ENTRIES))


@entity(43, "TP_LA")
class TpLa(Entity):
    """The transport processor's trace (cudbg_collect_tp_la(), t4_tp_read_la())."""

    momentary = Kind.CAPTURE
    all_zero = NOTHING_TRACED
    layouts = (TpLayout,)
    raw_bytes = sizeof(TpLayout)
    accesses = 259

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout, config = TpLayout.from_buffer(ctx.area(sizeof(TpLayout))), chip.r.TP_DBG_LA_CONFIG
        layout.mode = config.get(io.read(config), "DbgLaMode")
        control = io.read(config) & _TP_CONTROL
        running = bool(control & config.mask("DbgLaEnable"))
        if running:
            io.write(config, control ^ config.mask("DbgLaEnable"))
        layout.data = _read_tp(io, chip, io.read(config))
        if running:
            io.write(config, control)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(TpLayout, blob)
        head = Fields("analyser", [Item("mode", layout.mode)])
        lines = _tp_lines(list(layout.data), layout.mode)
        return Decoded([head, Text("trace, oldest first", list(lines))])


def _read_tp(io: Io, chip: Chip, stopped: int) -> Sequence[int]:
    """Returns all words from the write pointer on; the last may be incomplete."""
    config = chip.r.TP_DBG_LA_CONFIG
    first, half = tp_la_first(config, stopped)
    requests = _tp_requests(config, first, stopped & _TP_CONTROL & ~config.mask("DbgLaRptr"))
    ops: list[Op] = [Write(config, Cell()), Read(chip.r.TP_DBG_LA_DATAL, width=8)]
    words = u64s(io.run(ops, requests))
    return (*words[:-1], _INCOMPLETE) if half else words


def tp_la_first(config: Register, stopped: int) -> tuple[int, bool]:
    """Returns the position of the oldest word, and whether the last one is incomplete, from the
    configuration of the stopped analyser."""
    half = config.get(stopped, "DbgLaMode") >= _PAIRS and not config.get(stopped, "DbgLaWhlf")
    return config.get(stopped, "DbgLaWptr") + half, half


def _tp_requests(config: Register, first: int, control: int) -> list[int]:
    pointer = config.field("DbgLaRptr")
    return [control | pointer.put((first + i) % LA_ENTRIES) for i in range(LA_ENTRIES)]


def _tp_lines(words: Sequence[int], mode: int) -> Iterator[str]:
    """Yields one line per word, with all its fields (cxgb4_debugfs.c, tp_la_show())."""
    for i, word in enumerate(words):
        if mode in (_PAIRS, _PACKETS) and word == _INCOMPLETE and i == len(words) - 1:
            return
        fields = _tp_fields(words[i - 1], i, mode)
        shown = " ".join(f"{field.name}={field.get(word):#x}" for field in fields)
        yield f"{word:016x} {shown}"


def _tp_fields(before: int, i: int, mode: int) -> tuple[Field, ...]:
    """Returns the fields of word `i`. In packet mode, a pair's first word, `before`, selects those
    of its second."""
    if mode != _PACKETS or i % 2 == 0:
        return LA_FIELDS
    return LA_TUNNEL_FIELDS if before & LA_TUNNEL_PACKET else LA_PACKET_FIELDS


# ULPRX_LA


class UlprxLayout(LittleStruct):
    """struct cudbg_ulprx_la: the words of the eight traces side by side, oldest first."""

    _fields_ = (("data", u32 * (ULPRX_TRACE_WORDS * ULPRX_TRACES)), ("size", u32))


@entity(41, "ULPRX_LA")
class UlprxLa(Entity):
    """Eight traces of ULP's receive side (cudbg_collect_ulprx_la())."""

    momentary = Kind.CAPTURE
    all_zero = NOTHING_WRITTEN
    layouts = (UlprxLayout,)
    raw_bytes = sizeof(UlprxLayout)
    accesses = 4120

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = UlprxLayout.from_buffer(ctx.area(sizeof(UlprxLayout)))
        data = memoryview(layout.data).cast("B").cast("I")
        for trace in range(ULPRX_TRACES):
            data[trace::ULPRX_TRACES] = _read_ulprx(io, chip, trace)
        layout.size = ULPRX_TRACE_WORDS

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(UlprxLayout, blob)
        columns = [Column("PCMD", "x16"), Column("type", "x4"), Column("message", "x8")]
        columns.append(Column("data", "x32"))
        return Decoded([Table("ULP RX trace, oldest first", columns, list(_ulprx_rows(layout)))])


def _read_ulprx(io: Io, chip: Chip, trace: int) -> memoryview:
    """Reads a trace from the write pointer on, where its oldest word is (t4_ulprx_read_la())."""
    r = chip.r
    io.write(r.ULP_RX_LA_CTL, trace)
    io.write(r.ULP_RX_LA_RDPTR, io.read(r.ULP_RX_LA_WRPTR))
    return io.run([Read(r.ULP_RX_LA_RDDATA, ULPRX_TRACE_WORDS, again=True)]).cast("I")


def _ulprx_rows(layout: UlprxLayout) -> Iterator[list[Value]]:
    """Yields two words of PCMD, one of type, one of message, four of data (ulprx_la_show())."""
    for at in range(0, len(layout.data), ULPRX_TRACES):
        pcmd_lo, pcmd_hi, kind, message, *data = layout.data[at : at + ULPRX_TRACES]
        payload = sum(word << 32 * i for i, word in enumerate(data))
        yield [pcmd_hi << 32 | pcmd_lo, kind, message, payload]


# ULPTX_LA

_ULPTX_REVISION = 1
_ASIC_WORDS = len(ULPTX_ASIC_REGISTERS) - 1  # CUDBG_NUM_ULPTX_ASIC


class UlptxTrace(LittleStruct):
    """struct cudbg_ulptx_la."""

    _fields_ = (
        ("rdptr", u32 * ULPTX_INSTANCES),
        ("wrptr", u32 * ULPTX_INSTANCES),
        ("rddata", u32 * ULPTX_INSTANCES),
        ("rd_data", u32 * (ULPTX_INSTANCES * ULPTX_READS)),
        ("rdptr_asic", u32 * ULPTX_ASIC_READS),
        ("rddata_asic", u32 * (ULPTX_ASIC_READS * _ASIC_WORDS)),
    )


class UlptxLayout(LittleStruct):
    """The version, then the trace."""

    _fields_ = (("version", VersionHeader), ("trace", UlptxTrace))


@entity(62, "ULPTX_LA")
class UlptxLa(Entity):
    """Eleven traces of ULP's transmit side, and its debug words (cudbg_collect_ulptx_la()).

    The sixth "ASIC" word belongs to another block: the driver reads PM_RX_CFG there, a register of
    the payload memory's receive side, which it calls PM_RX_BASE_ADDR.
    """

    momentary = Kind.CAPTURE
    all_zero = NOTHING_WRITTEN
    layouts = (UlptxLayout,)
    raw_bytes = sizeof(UlptxLayout)
    accesses = 6689

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = UlptxLayout.from_buffer(ctx.area(sizeof(UlptxLayout)))
        layout.version.set(_ULPTX_REVISION, sizeof(UlptxTrace))
        _read_ulptx_instances(io, chip, layout.trace)
        _read_ulptx_asic(io, chip, layout.trace)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        VersionHeader.check(self.name, blob, _ULPTX_REVISION, sizeof(UlptxTrace))
        trace = self.parse(UlptxLayout, blob).trace
        return Decoded([_ulptx_instances(trace), _ulptx_words(trace), _ulptx_asic(trace)])


def _read_ulptx_instances(io: Io, chip: Chip, trace: UlptxTrace) -> None:
    """Reads the pointers, then 1 + 512 words of each instance; each read advances the pointer."""
    r, step = chip.r, ULPTX_STRIDE
    ops: list[Op] = [
        Read(Each(r.ULP_TX_LA_RDPTR_0, step)),
        Read(Each(r.ULP_TX_LA_WRPTR_0, step)),
        Read(Each(r.ULP_TX_LA_RDDATA_0, step), 1 + ULPTX_READS, again=True),
    ]
    words = io.run(ops, ULPTX_INSTANCES).cast("I")
    kept = 3 + ULPTX_READS
    trace.rdptr, trace.wrptr, trace.rddata = (words[i::kept] for i in range(3))
    traces = memoryview(trace.rd_data).cast("B").cast("I")
    for i in range(ULPTX_INSTANCES):
        traces[i * ULPTX_READS : (i + 1) * ULPTX_READS] = words[i * kept + 3 : (i + 1) * kept]


def _read_ulptx_asic(io: Io, chip: Chip, trace: UlptxTrace) -> None:
    r, (strobe, *debug, last) = chip.r, ULPTX_ASIC_REGISTERS  # all but the last are adjacent
    ops: list[Op] = [Write(r[strobe], 1), Read(r[strobe], 1 + len(debug)), Read(r[last])]
    words = u32s(io.run(ops, ULPTX_ASIC_READS))
    kept = 1 + _ASIC_WORDS
    trace.rdptr_asic = words[0::kept]
    trace.rddata_asic = [word for i, word in enumerate(words) if i % kept]


def _ulptx_instances(trace: UlptxTrace) -> Table:
    columns = [Column("instance", "d"), *(Column(n, "x8") for n in ("RDPTR", "WRPTR", "RDDATA"))]
    pointers = zip(trace.rdptr, trace.wrptr, trace.rddata, strict=True)
    return Table("ULP TX analysers", columns, [[i, *row] for i, row in enumerate(pointers)])


def _ulptx_words(trace: UlptxTrace) -> Table:
    columns = [Column("step", "d"), *(Column(f"LA {i}", "x8") for i in range(ULPTX_INSTANCES))]
    return Table("ULP TX trace", columns, Lazy(lambda: _ulptx_steps(trace)))


def _ulptx_steps(trace: UlptxTrace) -> Iterator[list[Value]]:
    for step in range(ULPTX_READS):
        yield [step, *trace.rd_data[step::ULPTX_READS]]


def _ulptx_asic(trace: UlptxTrace) -> Table:
    names = ("CTRL", *(f"DEBUG_{i}" for i in range(_ASIC_WORDS - 1)), "PM_RX_CFG")
    columns = [Column("step", "d"), *(Column(name, "x8") for name in names)]
    words = trace.rddata_asic
    rows = [
        [step, trace.rdptr_asic[step], *words[step * _ASIC_WORDS :][:_ASIC_WORDS]]
        for step in range(ULPTX_ASIC_READS)
    ]
    return Table("ULP TX ASIC debug words", columns, rows)
