"""HW_SCHED: the transmit schedulers: rates, gaps between packets, pace table."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u32s
from vmcoredd.chip.tp import PACE_TABLE, SCHEDULERS
from vmcoredd.cudbg import status
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.hw.io import Each, Io, Op, Read, Write

_U32 = 0xFFFFFFFF
_BITS_PER_BYTE_RATE = 125  # kilobits per second in bytes


class Layout(LittleStruct):
    """struct cudbg_hw_sched: kbit/s, tenths of nanoseconds, microseconds."""

    _fields_ = (
        ("kbps", u32 * SCHEDULERS),
        ("ipg", u32 * SCHEDULERS),
        ("pace_tab", u32 * SCHEDULERS),
        ("mode", u32),
        ("map", u32),
    )


@entity(31, "HW_SCHED")
class HwSched(Entity):
    """cudbg_collect_hw_sched().

    Rates are computed with the clock the driver assumes before it has asked the firmware.
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        cclk = ctx.device.cclk_khz
        if not cclk:
            raise Status(status.CCLK_NOT_DEFINED)
        layout, r = Layout.from_buffer(ctx.area(sizeof(Layout))), chip.r
        layout.map = io.read(r.TP_TX_MOD_QUEUE_REQ_MAP)
        layout.mode = r.TP_MOD_CONFIG.get(io.read(r.TP_MOD_CONFIG), "TimerMode")
        pace = u32s(
            io.run(
                [Write(r.TP_PACE_TABLE, Each(PACE_TABLE.prefix)), Read(r.TP_PACE_TABLE)], SCHEDULERS
            )
        )
        layout.pace_tab = [ticks // (cclk // 1000) for ticks in pace]
        rates, gaps = _read_schedulers(io, chip)
        layout.kbps = [_kbps(rate, cclk) for rate in rates]
        layout.ipg = [10000 * gap // (cclk // 1000) for gap in gaps]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("scheduler", "d"), Column("mode"), Column("channel", "d")]
        columns += [Column("rate in kbit/s", "d"), Column("class gap in 0.1 ns", "d")]
        columns.append(Column("pace in us", "d"))
        return Decoded([Table("transmit schedulers", columns, list(_rows(layout)))])


def _read_schedulers(io: Io, chip: Chip) -> tuple[list[int], list[int]]:
    """Each scheduler's half of its rate word and of its gap word (t4_get_tx_sched())."""
    r = chip.r
    ops: list[Op] = []
    for scheduler in range(SCHEDULERS):
        for word in (r.TP_TX_MOD_Q1_Q0_RATE_LIMIT, r.TP_TX_MOD_Q1_Q0_TIMER_SEPARATOR):
            ops += [Write(r.TP_TM_PIO_ADDR, word - scheduler // 2), Read(r.TP_TM_PIO_DATA)]
    words = u32s(io.run(ops))
    halves = [word >> 16 * (i // 2 % 2) & 0xFFFF for i, word in enumerate(words)]
    return halves[::2], halves[1::2]


def _kbps(rate: int, cclk: int) -> int:
    """Bytes per tick, a tick being so many cycles; 32-bit arithmetic, as the driver's."""
    byte_count, cycles = rate >> 8, rate & 0xFF
    if not cycles:
        return 0
    return (cclk * 1000 // cycles * byte_count & _U32) // _BITS_PER_BYTE_RATE


def _rows(layout: Layout) -> Iterator[list[Value]]:
    """mode bit: 0 class, 1 flow; map: two bits of channel each (sched_show())."""
    for i in range(SCHEDULERS):
        mode = "flow" if layout.mode >> i & 1 else "class"
        channel = layout.map >> 2 * i & 3
        yield [i, mode, channel, layout.kbps[i], layout.ipg[i], layout.pace_tab[i]]
