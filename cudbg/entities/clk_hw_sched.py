"""CLK, HW_SCHED: TCP's timers and the transmit schedulers, which depend on the core clock.

Both use the clock that the driver assumes before it has asked the firmware (50 MHz).
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, LittleStruct, sizeof, u32, u32s, u64
from vmcoredd.chip.tp import CLOCK_REGISTERS, PACE_TABLE, SCHEDULERS
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Each, Io, Op, Read, Write

# CLK

_PS_PER_US = 1_000_000


class ClkLayout(LittleStruct):
    """struct cudbg_clk_info: timers in microseconds, the clock's period in picoseconds."""

    _fields_ = (
        ("retransmit_min", u64),
        ("retransmit_max", u64),
        ("persist_timer_min", u64),
        ("persist_timer_max", u64),
        ("keepalive_idle_timer", u64),
        ("keepalive_interval", u64),
        ("initial_srtt", u64),
        ("finwait2_timer", u64),
        ("dack_timer", u32),
        ("res", u32),
        ("cclk_ps", u32),
        ("tre", u32),
        ("dack_re", u32),
    )


_TIMERS = dict(zip(ClkLayout.names(), CLOCK_REGISTERS[2:], strict=False))
"""The register of each timer that the layout holds in microseconds."""


@entity(46, "CLK")
class Clk(Entity):
    """The core clock, and TCP's timers in microseconds (cudbg_collect_clk_info())."""

    raw_bytes = sizeof(ClkLayout)
    accesses = 10

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        if not ctx.device.cclk_khz:
            raise Status(Code.CCLK_NOT_DEFINED)
        layout, r = ClkLayout.from_buffer(ctx.area(sizeof(ClkLayout))), chip.r
        layout.cclk_ps = 1_000_000_000 // ctx.device.cclk_khz
        layout.res, dack_timer, *timers = read_each(io, [r[name] for name in CLOCK_REGISTERS])
        layout.tre = r.TP_TIMER_RESOLUTION.get(layout.res, "TimerResolution")
        layout.dack_re = r.TP_TIMER_RESOLUTION.get(layout.res, "DelayedACKResolution")
        dack = _tick_us(layout.cclk_ps, layout.dack_re) * dack_timer
        layout.dack_timer = dack & U32_MASK
        tick = _tick_us(layout.cclk_ps, layout.tre)
        for (name, register), word in zip(_TIMERS.items(), timers, strict=True):
            setattr(layout, name, tick * _timer(word, chip, register))

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(ClkLayout, blob)
        clock = [
            Item("core clock", layout.cclk_ps / 1000, "ns a cycle"),
            Item("TP_TIMER_RESOLUTION", layout.res, form="x8"),
            Item("TP tick", _tick_us(layout.cclk_ps, layout.tre), "us"),
            Item("delayed ACK tick", _tick_us(layout.cclk_ps, layout.dack_re), "us"),
            Item("delayed ACK timer", layout.dack_timer, "us"),
        ]
        timers = [Item(name.replace("_", " "), getattr(layout, name), "us") for name in _TIMERS]
        return Decoded([Fields("clock", clock), Fields("TCP timers", timers)])


def _tick_us(cclk_ps: int, resolution: int) -> int:
    """A timer's tick, 2^resolution cycles, in the driver's 32-bit arithmetic (x86 shifts)."""
    return (cclk_ps << (resolution & 31) & U32_MASK) // _PS_PER_US


def _timer(word: int, chip: Chip, register: str) -> int:
    """Returns a timer's number; TP_INIT_SRTT holds two of them, the other registers one."""
    return chip.r.TP_INIT_SRTT.get(word, "InitSrtt") if register == "TP_INIT_SRTT" else word


# HW_SCHED

_BYTES_PER_KBIT = 125


class SchedLayout(LittleStruct):
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
    """The transmit schedulers: rates, gaps between packets, pace table
    (cudbg_collect_hw_sched())."""

    raw_bytes = sizeof(SchedLayout)
    accesses = 50

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        cclk = ctx.device.cclk_khz
        if not cclk:
            raise Status(Code.CCLK_NOT_DEFINED)
        layout, r = SchedLayout.from_buffer(ctx.area(sizeof(SchedLayout))), chip.r
        layout.map = io.read(r.TP_TX_MOD_QUEUE_REQ_MAP)
        layout.mode = r.TP_MOD_CONFIG.get(io.read(r.TP_MOD_CONFIG), "TimerMode")
        ops: list[Op] = [Write(r.TP_PACE_TABLE, Each(PACE_TABLE.prefix)), Read(r.TP_PACE_TABLE)]
        pace = u32s(io.run(ops, SCHEDULERS))
        layout.pace_tab = [ticks // (cclk // 1000) for ticks in pace]
        rates, gaps = _read_schedulers(io, chip)
        layout.kbps = [_kbps(rate, cclk) for rate in rates]
        layout.ipg = [10000 * gap // (cclk // 1000) for gap in gaps]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(SchedLayout, blob)
        columns = [Column("scheduler", "d"), Column("mode"), Column("channel", "d")]
        columns += [Column("rate in kbit/s", "d"), Column("class gap in 0.1 ns", "d")]
        columns.append(Column("pace in us", "d"))
        return Decoded([Table("transmit schedulers", columns, list(_sched_rows(layout)))])


def _read_schedulers(io: Io, chip: Chip) -> tuple[list[int], list[int]]:
    """Returns each scheduler's half of its rate word, and of its gap word (t4_get_tx_sched())."""
    r = chip.r
    ops: list[Op] = []
    for scheduler in range(SCHEDULERS):
        for word in (r.TP_TX_MOD_Q1_Q0_RATE_LIMIT, r.TP_TX_MOD_Q1_Q0_TIMER_SEPARATOR):
            ops += [Write(r.TP_TM_PIO_ADDR, word - scheduler // 2), Read(r.TP_TM_PIO_DATA)]
    words = u32s(io.run(ops))
    halves = [word >> 16 * (i // 2 % 2) & 0xFFFF for i, word in enumerate(words)]
    return halves[::2], halves[1::2]


def _kbps(rate: int, cclk: int) -> int:
    """Converts bytes and cycles per tick to kbit/s, in the driver's 32-bit arithmetic."""
    byte_count, cycles = rate >> 8, rate & 0xFF
    if not cycles:
        return 0
    return (cclk * 1000 // cycles * byte_count & U32_MASK) // _BYTES_PER_KBIT


def _sched_rows(layout: SchedLayout) -> Iterator[list[Value]]:
    """Yields a row per scheduler. Mode bit: 0 class, 1 flow. Map: two bits each (sched_show())."""
    for i in range(SCHEDULERS):
        mode = "flow" if layout.mode >> i & 1 else "class"
        channel = layout.map >> 2 * i & 3
        yield [i, mode, channel, layout.kbps[i], layout.ipg[i], layout.pace_tab[i]]
