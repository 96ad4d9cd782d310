"""PM_STATS: the reads and writes that the payload memory's managers have counted."""

from __future__ import annotations

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u32s, u64
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Text
from vmcoredd.cudbg.entity import Context, Entity, entity, per_chip
from vmcoredd.hw.io import Each, Io, Op, Read, Write

_COUNTERS = 7  # T6_PM_NSTATS; a T5 fills the first five


class Layout(LittleStruct):
    """struct cudbg_pm_stats."""

    _fields_ = (
        ("tx_cnt", u32 * _COUNTERS),
        ("rx_cnt", u32 * _COUNTERS),
        ("tx_cyc", u64 * _COUNTERS),
        ("rx_cyc", u64 * _COUNTERS),
    )


@entity(30, "PM_STATS")
class PmStats(Entity):
    """Counters of the payload memory's managers (cudbg_collect_pm_stats())."""

    momentary = Kind.COUNTER
    all_zero = "EMPTY: All counters are 0: nothing was counted."
    layouts = (Layout,)
    raw_bytes = sizeof(Layout)
    accesses = per_chip(t5=60, t6=84)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout, r = Layout.from_buffer(ctx.area(sizeof(Layout))), chip.r
        tx = (r.PM_TX_STAT_CONFIG, r.PM_TX_STAT_COUNT, r.PM_TX_DBG_CTRL, r.PM_TX_DBG_DATA)
        rx = (r.PM_RX_STAT_CONFIG, r.PM_RX_STAT_COUNT, r.PM_RX_DBG_CTRL, r.PM_RX_DBG_DATA)
        layout.tx_cnt, layout.tx_cyc = _read(io, chip, tx, r.PM_TX_DBG_STAT_MSB)
        layout.rx_cnt, layout.rx_cyc = _read(io, chip, rx, r.PM_RX_DBG_STAT_MSB)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("what"), Column("count", "d"), Column("bytes or cycles", "d")]
        tx = zip(_TX_NAMES, layout.tx_cnt, layout.tx_cyc, strict=True)
        rx = zip(_RX_NAMES, layout.rx_cnt, layout.rx_cyc, strict=True)
        caveats = [] if chip.memory.pm_stats > _WAITS else [Text("", _WAITS_ON_T5)]
        return Decoded(
            [
                *caveats,
                Table("transmit", columns, [list(row) for row in tx][: chip.memory.pm_stats]),
                Table("receive", columns, [list(row) for row in rx][: chip.memory.pm_stats]),
            ]
        )


_WAITS = 5
"""Counters of a T5, of which the last is the wait for the FIFO."""
_WAITS_ON_T5 = (
    "On a T5 the wait for the FIFO counts so finely that it soon stays at its greatest value:",
    "it tells nothing, and the driver's debugfs shows it for a T6 only.",
)
# pm_stats_show(); the driver does not show the sixth, and only a T6 has the last two.
_TX_NAMES = (
    "reads (bytes)",
    "writes bypassing memory (bytes)",
    "writes to memory (bytes)",
    "bypassing and to memory (bytes)",
    "waits for the FIFO (occupancy)",
    "counter 6",
    "read latency (cycles)",
)
_RX_NAMES = (*_TX_NAMES[:3], "flushes (bytes)", *_TX_NAMES[4:])


def _read(
    io: Io, chip: Chip, registers: tuple[Register, ...], msb: Register
) -> tuple[list[int], list[int]]:
    """Reads counts and their 64-bit values (t4_pmtx_get_stats(), t4_pmrx_get_stats())."""
    config, count, ctrl, data = registers
    ops: list[Op] = [
        Write(config, Each(1)),
        Read(count),
        Write(ctrl, msb),
        Read(data),
        Write(ctrl, msb + 1),
        Read(data),
    ]
    words = u32s(io.run(ops, chip.memory.pm_stats))
    cycles = [high << 32 | low for high, low in zip(words[1::3], words[2::3], strict=True)]
    unused = [0] * (_COUNTERS - chip.memory.pm_stats)
    return [*words[0::3], *unused], [*cycles, *unused]
