"""ULPRX_LA: the logic analyser of the receive side of the upper-layer protocol engine."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
from vmcoredd.chip.tp import ULPRX_TRACE_WORDS, ULPRX_TRACES
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Io, Read


class Layout(LittleStruct):
    """struct cudbg_ulprx_la: the words of the eight traces side by side, in order of time."""

    _fields_ = (("data", u32 * (ULPRX_TRACE_WORDS * ULPRX_TRACES)), ("size", u32))


@entity(41, "ULPRX_LA")
class UlprxLa(Entity):
    """cudbg_collect_ulprx_la()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        data = memoryview(layout.data).cast("B").cast("I")
        for trace in range(ULPRX_TRACES):
            data[trace::ULPRX_TRACES] = _read_trace(io, chip, trace)
        layout.size = ULPRX_TRACE_WORDS

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("PCMD", "x16"), Column("type", "x4"), Column("message", "x8")]
        columns.append(Column("data", "x32"))
        return Decoded([Table("ULP RX trace, oldest first", columns, list(_rows(layout)))])


def _read_trace(io: Io, chip: Chip, trace: int) -> memoryview:
    """One trace from the write pointer on, where the oldest word is (t4_ulprx_read_la())."""
    r = chip.r
    io.write(r.ULP_RX_LA_CTL, trace)
    io.write(r.ULP_RX_LA_RDPTR, io.read(r.ULP_RX_LA_WRPTR))
    return io.run([Read(r.ULP_RX_LA_RDDATA, ULPRX_TRACE_WORDS, again=True)]).cast("I")


def _rows(layout: Layout) -> Iterator[list[Value]]:
    """Two words of PCMD, type, message and four of data (ulprx_la_show())."""
    for at in range(0, len(layout.data), ULPRX_TRACES):
        pcmd_lo, pcmd_hi, kind, message, *data = layout.data[at : at + ULPRX_TRACES]
        payload = sum(word << 32 * i for i, word in enumerate(data))
        yield [pcmd_hi << 32 | pcmd_lo, kind, message, payload]
