"""CLK: the core clock and the timers of TCP, in units a person reads."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, LittleStruct, sizeof, u32, u64
from vmcoredd.chip.tp import CLOCK_REGISTERS
from vmcoredd.cudbg import status
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Item
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Io

_PS_PER_US = 1_000_000


class Layout(LittleStruct):
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


_TIMERS = dict(zip(Layout.names(), CLOCK_REGISTERS[2:], strict=False))
"""The register of each of the layout's timers in microseconds."""


@entity(46, "CLK")
class Clk(Entity):
    """cudbg_collect_clk_info().

    The clock is the 50 MHz that the driver assumes before it has asked the firmware.
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        if not ctx.device.cclk_khz:
            raise Status(status.CCLK_NOT_DEFINED)
        layout, r = Layout.from_buffer(ctx.area(sizeof(Layout))), chip.r
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
        layout = self.parse(Layout, blob)
        timers = [Item(name.replace("_", " "), getattr(layout, name), "us") for name in _TIMERS]
        return Decoded(
            [
                Fields(
                    "clock",
                    [
                        Item("core clock", layout.cclk_ps / 1000, "ns a cycle"),
                        Item("TP_TIMER_RESOLUTION", layout.res, form="x8"),
                        Item("TP tick", _tick_us(layout.cclk_ps, layout.tre), "us"),
                        Item("delayed ACK tick", _tick_us(layout.cclk_ps, layout.dack_re), "us"),
                        Item("delayed ACK timer", layout.dack_timer, "us"),
                    ],
                ),
                Fields("TCP timers", timers),
            ]
        )


def _tick_us(cclk_ps: int, resolution: int) -> int:
    """A timer's tick: 2^resolution cycles; 32-bit arithmetic, as the driver's (x86 shifts)."""
    return (cclk_ps << (resolution & 31) & U32_MASK) // _PS_PER_US


def _timer(word: int, chip: Chip, register: str) -> int:
    """TP_INIT_SRTT holds two numbers, the others one."""
    return chip.r.TP_INIT_SRTT.get(word, "InitSrtt") if register == "TP_INIT_SRTT" else word
