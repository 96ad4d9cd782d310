"""ULPTX_LA: the logic analysers of the transmit side of the upper-layer protocol engine."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u32s
from vmcoredd.chip.tp import (
    ULPTX_ASIC_READS,
    ULPTX_ASIC_REGISTERS,
    ULPTX_INSTANCES,
    ULPTX_READS,
    ULPTX_STRIDE,
)
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.versioned import VersionHeader
from vmcoredd.hw.io import Each, Io, Op, Read, Write

_REVISION = 1
_ASIC_WORDS = len(ULPTX_ASIC_REGISTERS) - 1  # CUDBG_NUM_ULPTX_ASIC


class Trace(LittleStruct):
    """struct cudbg_ulptx_la."""

    _fields_ = (
        ("rdptr", u32 * ULPTX_INSTANCES),
        ("wrptr", u32 * ULPTX_INSTANCES),
        ("rddata", u32 * ULPTX_INSTANCES),
        ("rd_data", u32 * (ULPTX_INSTANCES * ULPTX_READS)),
        ("rdptr_asic", u32 * ULPTX_ASIC_READS),
        ("rddata_asic", u32 * (ULPTX_ASIC_READS * _ASIC_WORDS)),
    )


class Layout(LittleStruct):
    """The trace behind its version."""

    _fields_ = (("version", VersionHeader), ("trace", Trace))


@entity(62, "ULPTX_LA")
class UlptxLa(Entity):
    """cudbg_collect_ulptx_la().

    The sixth "ASIC" word is not one of this block's: the driver reads PM_RX_CFG there, a register
    of the payload memory's receive side (it names it PM_RX_BASE_ADDR).
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        layout.version.set(_REVISION, sizeof(Trace))
        _read_instances(io, chip, layout.trace)
        _read_asic(io, chip, layout.trace)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        layout.version.check(self.name, _REVISION, sizeof(Trace))
        return Decoded([_instances(layout.trace), _words(layout.trace), _asic(layout.trace)])


def _read_instances(io: Io, chip: Chip, trace: Trace) -> None:
    """Pointers, then 1 + 512 words of each instance; reading a word moves its pointer on."""
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


def _read_asic(io: Io, chip: Chip, trace: Trace) -> None:
    r, (strobe, *debug, last) = chip.r, ULPTX_ASIC_REGISTERS  # all but the last are adjacent
    ops: list[Op] = [
        Write(r[strobe], 1),
        Read(r[strobe], 1 + len(debug)),
        Read(r[last]),
    ]
    words = u32s(io.run(ops, ULPTX_ASIC_READS))
    kept = 1 + _ASIC_WORDS
    trace.rdptr_asic = words[0::kept]
    trace.rddata_asic = [word for i, word in enumerate(words) if i % kept]


def _instances(trace: Trace) -> Table:
    columns = [Column("instance", "d"), *(Column(n, "x8") for n in ("RDPTR", "WRPTR", "RDDATA"))]
    pointers = zip(trace.rdptr, trace.wrptr, trace.rddata, strict=True)
    return Table("ULP TX analysers", columns, [[i, *row] for i, row in enumerate(pointers)])


def _words(trace: Trace) -> Table:
    columns = [Column("step", "d"), *(Column(f"LA {i}", "x8") for i in range(ULPTX_INSTANCES))]
    return Table("ULP TX trace", columns, Lazy(lambda: _steps(trace)))


def _steps(trace: Trace) -> Iterator[list[Value]]:
    for step in range(ULPTX_READS):
        yield [step, *trace.rd_data[step::ULPTX_READS]]


def _asic(trace: Trace) -> Table:
    names = ("CTRL", *(f"DEBUG_{i}" for i in range(_ASIC_WORDS - 1)), "PM_RX_CFG")
    columns = [Column("step", "d"), *(Column(name, "x8") for name in names)]
    words = trace.rddata_asic
    rows = [
        [step, trace.rdptr_asic[step], *words[step * _ASIC_WORDS :][:_ASIC_WORDS]]
        for step in range(ULPTX_ASIC_READS)
    ]
    return Table("ULP TX ASIC debug words", columns, rows)
