"""CLK, HW_SCHED: TCP's timers and the transmit schedulers, which depend on the core clock.

Both are collected with the clock that the driver assumes before it has asked the firmware (50 MHz),
and decoded with the one that the firmware's log tells (`cudbg.core_clock`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import LdstSpace
from vmcoredd.chip.layout import (
    U16_MASK,
    U32_MASK,
    WORD_BYTES,
    LittleStruct,
    sizeof,
    u32,
    u32s,
    u64,
)
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.tp import CLOCK_REGISTERS, PACE_TABLE, SCHEDULERS
from vmcoredd.cudbg.asking import tp_words
from vmcoredd.cudbg.core_clock import EXPLAINED_BY, CoreClock, core_clock
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Part, Table, Text, Value
from vmcoredd.cudbg.driver_state import PRESET_KHZ
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.cudbg.words import words_of_space
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Cell, Each, Io, Op, Read, Write
from vmcoredd.plural import exact

# CLK

_PS_PER_US = 1_000_000
_PS_PER_MS = 1_000_000_000
_EXACT_BELOW = 1000
"""Shorter times are shown in nanoseconds, longer ones in whole microseconds."""
_LOST = "the driver multiplies by a tick of 0 us"
_RESOLUTION_MOST = 31
"""A tick of more than 2^31 cycles is none: the driver shifts by five bits."""


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

    momentary = Kind.WORK
    of_host = tuple(name for name in ClkLayout.names() if name not in ("res", "tre", "dack_re"))
    all_zero = (
        "NOT MEASURED: All bytes are 0, also the core clock's period, by which the driver divides."
    )
    layouts = (ClkLayout,)
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

    explained_by = (*EXPLAINED_BY[1:], "REG_DUMP")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        layout = self.parse(ClkLayout, blob)
        clock = core_clock({**others, "CLK": blob})
        timers = _Timers(layout, clock, _registers(others.get("REG_DUMP"), chip))
        shown = [timers.item(name, layout.tre) for name in _TIMERS]
        return Decoded([Fields("clock", _clock_items(timers, chip)), Fields("TCP timers", shown)])


@dataclass(frozen=True)
class _Timers:
    """Converts CLK's timers from the driver's clock to the one to believe."""

    layout: ClkLayout
    clock: CoreClock
    registers: Mapping[str, int]
    """The ticks in each timer's register, where the dump has it."""

    @property
    def cclk_ps(self) -> int:
        """The period to believe; 0 if it is unknown."""
        if self.clock.khz and (self.clock.is_corrected or not self.layout.cclk_ps):
            return _PS_PER_MS // self.clock.khz
        return int(self.layout.cclk_ps) if self.clock.khz else 0

    def tick(self, name: str, resolution: int) -> Item:
        """Returns a timer's tick in microseconds, exactly."""
        if not self.cclk_ps:
            return Item(name, None, "unknown, as the core clock is")
        if resolution > _RESOLUTION_MOST:
            return Item(name, None, f"no tick has resolution {resolution}")
        return Item(name, (self.cclk_ps << resolution) / _PS_PER_US, "us")

    def item(self, name: str, resolution: int, title: str = "") -> Item:
        """Returns a timer in microseconds, exactly, its ticks, and what the driver computes."""
        shown = title or name.replace("_", " ")
        tick, ticks = self.tick("", resolution), self._ticks(name, resolution)
        if ticks is None:
            stored = None if self.clock.is_corrected else getattr(self.layout, name)
            return Item(shown, stored, f"not in the dump: {_LOST}")
        if getattr(self.layout, name) in _of_ones(name, _tick_us(self.layout.cclk_ps, resolution)):
            return Item(shown, None, "not measured: its register reads as all ones")
        count = exact(ticks, "tick")
        if not isinstance(tick.value, float):
            return Item(shown, None, f"{count}; {tick.meaning}")
        time = ticks * tick.value
        value = round(time, 3) if time < _EXACT_BELOW else round(time)
        printed = _tick_us(self.cclk_ps, resolution) * ticks
        driver = f"; the driver's debugfs shows {printed}" if printed != value else ""
        return Item(shown, value, f"us: {count} of {tick.value:g} us{driver}")

    def _ticks(self, name: str, resolution: int) -> int | None:
        """Returns a timer's number of ticks: as it was multiplied, or else from its register."""
        stored, tick = getattr(self.layout, name), _tick_us(self.layout.cclk_ps, resolution)
        if tick and not stored % tick:
            return int(stored) // tick
        return self.registers.get(name) or None


def _of_ones(name: str, tick: int) -> tuple[int, ...]:
    """Returns what the driver computes of a timer's register that reads as all ones."""
    if not tick:
        return ()
    if name == "initial_srtt":
        return (tick * U16_MASK,)
    return tick * U32_MASK, *([tick * U32_MASK & U32_MASK] if name == "dack_timer" else [])


def _clock_items(timers: _Timers, chip: Chip) -> list[Item]:
    layout, clock = timers.layout, timers.clock
    stamp = chip.r.TP_TIMER_RESOLUTION.get(layout.res, "TimestampResolution")
    meaning = f"ns a cycle ({clock.khz} kHz), {clock.source}" if clock.khz else clock.source
    items = [Item("core clock", timers.cclk_ps / 1000 or None, meaning)]
    if clock.is_corrected and layout.cclk_ps:
        preset = "ns a cycle: its preset, from which the times here are converted"
        items.append(Item("clock of the driver", layout.cclk_ps / 1000, preset))
    return [
        *items,
        Item("TP_TIMER_RESOLUTION", layout.res, form="x8"),
        timers.tick("TP tick", layout.tre),
        timers.tick("TCP timestamp tick", stamp),
        timers.tick("delayed ACK tick", layout.dack_re),
        timers.item("dack_timer", layout.dack_re, "delayed ACK timer"),
    ]


def _registers(registers: Bytes | None, chip: Chip) -> dict[str, int]:
    """Returns the ticks of each timer that REG_DUMP's bytes tell."""
    found = {}
    for name, register in {"dack_timer": "TP_DACK_TIMER", **_TIMERS}.items():
        at = int(chip.r[register])
        word = b"" if registers is None else bytes(registers[at : at + WORD_BYTES])
        value = int.from_bytes(word, "little")
        if len(word) == WORD_BYTES and value != U32_MASK:
            found[name] = _timer(value, chip, register)
    return found


def _tick_us(cclk_ps: int, resolution: int) -> int:
    """Returns a timer's tick, 2^resolution cycles, in whole microseconds.

    In the driver's 32-bit arithmetic, with x86's shifts.
    """
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

    momentary = Kind.WORK
    of_host = ("kbps", "ipg", "pace_tab")
    all_zero = "EMPTY: No scheduler is enabled: all rates, gaps and paces are 0, as if never set."
    layouts = (SchedLayout,)
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
        rates, gaps = _read_schedulers(io, chip, ctx)
        layout.kbps = [kbps_of(rate, cclk) for rate in rates]
        layout.ipg = [gap_of(gap, cclk) for gap in gaps]

    explained_by = (*EXPLAINED_BY, "TP_INDIRECT")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        schedulers = _Schedulers(self.parse(SchedLayout, blob), others, chip)
        parts: list[Part] = [Table(schedulers.title, _SCHED_COLUMNS, list(schedulers.rows()))]
        if caveats := list(schedulers.caveats()):
            parts.append(Text("what the driver lost", caveats))
        return Decoded(parts)


_SCHED_COLUMNS = (
    Column("scheduler", "d"),
    Column("mode"),
    Column("channel", "d"),
    Column("kbit/s", "d"),
    Column("state"),
    Column("gap in 0.1 ns", "d"),
    Column("pace in us", "d"),
    Column("to", "d"),
)


class _Schedulers:
    """The schedulers, converted from the driver's clock to the one to believe.

    Rates are computed from TP_INDIRECT's words, since the driver rounds its own.
    """

    def __init__(self, layout: SchedLayout, others: Mapping[str, Bytes], chip: Chip) -> None:
        clk = others.get("CLK")
        known = clk is not None and len(clk) == sizeof(ClkLayout)
        self._layout = layout
        self._clk = ClkLayout.from_bytes(clk[0 : sizeof(ClkLayout)]) if clk and known else None
        self.clock = core_clock(others)
        first = chip.r.TP_TX_MOD_Q1_Q0_RATE_LIMIT
        words = words_of_space(others, "TP_INDIRECT", "tp_tm_pio", chip)
        found = [words.get(first - i // 2) for i in range(SCHEDULERS)]
        self._rates = [
            None if word is None else word >> 16 * (i % 2) & 0xFFFF for i, word in enumerate(found)
        ]

    @property
    def title(self) -> str:
        """Says which clock the numbers depend on."""
        if not self.clock.khz:
            return "transmit schedulers, as the driver computed them: CLK does not tell its clock"
        return f"transmit schedulers at {self.clock.khz} kHz, {self.clock.source}"

    def rows(self) -> Iterator[list[Value]]:
        """Yields a row per scheduler. Mode bit: 0 class, 1 flow. Map: two bits each."""
        layout = self._layout
        for i in range(SCHEDULERS):
            mode = "flow" if layout.mode >> i & 1 else "class"
            kbps, enabled = self._rate(i)
            gap = int(layout.ipg[i] / self._clock_ratio)
            cells: list[Value] = [kbps, "enabled" if enabled else "disabled", gap]
            if self._was_not_read(i):
                cells = [None, "not read", None]
            yield [i, mode, layout.map >> 2 * i & 3, *cells, *self._pace(i)]

    def _rate(self, i: int) -> tuple[int, bool]:
        """Returns kbit/s, and whether the scheduler is enabled (t4_get_tx_sched())."""
        rate = self._rates[i]
        if rate is None:
            kbps = self._layout.kbps[i] * self._clock_ratio
            return int(kbps), bool(kbps)
        if not (cycles := rate & 0xFF):
            return 0, False
        if not self.clock.khz:
            return self._layout.kbps[i], True
        return self.clock.khz * 1000 // cycles * (rate >> 8) // _BYTES_PER_KBIT, True

    @property
    def _clock_ratio(self) -> float:
        return self.clock.khz / self.clock.driver_khz if self.clock.driver_khz else 1

    def _was_not_read(self, i: int) -> bool:
        """Returns whether the driver computed both the rate and the gap from all ones."""
        rate = kbps_of(U16_MASK, self.clock.driver_khz)
        return self._has_widest_gap(i) and self._layout.kbps[i] == rate

    def _has_widest_gap(self, i: int) -> bool:
        """Returns whether the driver computed the gap from ffff, which may also be set."""
        khz = self.clock.driver_khz
        return khz >= 1000 and self._layout.ipg[i] == gap_of(U16_MASK, khz)

    def _pace(self, i: int) -> tuple[int | None, int | None]:
        """Returns the least and the most that a pace can be (dack_ticks_to_usec())."""
        pace = self._layout.pace_tab[i]
        if not self.clock.is_preset:
            return pace, pace
        if self._clk is None:
            return None, None
        per_us, shift = PRESET_KHZ // 1000, self._clk.dack_re & 31
        least, most = per_us * pace, per_us * (pace + 1) - 1
        return (least << shift) * 1000 // self.clock.khz, (most << shift) * 1000 // self.clock.khz

    def caveats(self) -> Iterator[str]:
        """Says what cannot be computed exactly."""
        if self.clock.is_preset and self._clk is None:
            yield "pace: its unit, DelayedACKResolution, is in CLK, which is not in the dump"
        elif self.clock.is_preset:
            yield "pace: the driver did not know DelayedACKResolution, and divided by its preset,"
            yield "so only a range is known"
        if self.clock.is_corrected and None in self._rates:
            yield "rates: converted from rounded ones, since TP_INDIRECT is not in the dump"
        widest = [i for i in range(SCHEDULERS) if self._has_widest_gap(i)]
        if doubted := ", ".join(str(i) for i in widest if not self._was_not_read(i)):
            yield f"gap of {doubted}: perhaps not read; it is the widest, made of all ones"


def _read_schedulers(io: Io, chip: Chip, ctx: Context) -> tuple[list[int], list[int]]:
    """Returns each scheduler's half of its rate word, and of its gap word (t4_get_tx_sched())."""
    r = chip.r
    indices = [
        word - scheduler // 2
        for scheduler in range(SCHEDULERS)
        for word in (r.TP_TX_MOD_Q1_Q0_RATE_LIMIT, r.TP_TX_MOD_Q1_Q0_TIMER_SEPARATOR)
    ]
    if ctx.device.attached:
        words = u32s(tp_words(io, ctx, LdstSpace.TP_TM_PIO, indices))
    else:
        words = u32s(io.run([Write(r.TP_TM_PIO_ADDR, Cell()), Read(r.TP_TM_PIO_DATA)], indices))
    halves = [word >> 16 * (i // 2 % 2) & 0xFFFF for i, word in enumerate(words)]
    return halves[::2], halves[1::2]


def kbps_of(rate: int, cclk: int) -> int:
    """Converts bytes and cycles per tick to kbit/s, in the driver's 32-bit arithmetic."""
    byte_count, cycles = rate >> 8, rate & 0xFF
    if not cycles:
        return 0
    return (cclk * 1000 // cycles * byte_count & U32_MASK) // _BYTES_PER_KBIT


def gap_of(cycles: int, cclk: int) -> int:
    """Converts a gap in cycles to tenths of nanoseconds, as the driver does."""
    return 10000 * cycles // (cclk // 1000)
