"""TP, ULP and PM: tables, counters and logic analysers."""

from __future__ import annotations

from vmcoredd.chip.layout import U16_MASK, U32_MASK, u16s
from vmcoredd.chip.register import Register
from vmcoredd.chip.tp import (
    CCTRL_TABLE,
    LA_ENTRIES,
    MTU_TABLE,
    PACE_TABLE,
    RSS_QUEUES_PER_ROW,
    ULPRX_TRACE_WORDS,
    ULPRX_TRACES,
    ULPTX_ASIC_READS,
    ULPTX_INSTANCES,
    ULPTX_READS,
)
from vmcoredd.cudbg.driver_state import PRESET_KHZ, driver_khz
from vmcoredd.cudbg.entities.clk_hw_sched import SchedLayout, gap_of, kbps_of
from vmcoredd.cudbg.entities.pm_stats import Layout as PmLayout
from vmcoredd.cudbg.entities.tp_tables import INCREMENT, CctrlLayout, MtuLayout
from vmcoredd.cudbg.entities.tp_ulp_la import (
    TpLayout,
    UlprxLayout,
    UlptxLayout,
    tp_la_first,
)
from vmcoredd.emu.silicon.logic_analysers import UlpTxAsicDebug
from vmcoredd.raised.raising import Raising, fitted, inverse
from vmcoredd.raised.reading import bytes_of, left_of, parsed

# Tables


@inverse("RSS")
def rss(on: Raising, blob: bytes) -> None:
    """Stores two queues in each row."""
    table = on.r.TP_RSS_LKP_TABLE
    fields = [table.field(f"LkpTblQueue{i}") for i in range(RSS_QUEUES_PER_ROW)]
    queues = u16s(blob[: len(blob) // 4 * 4])
    rows = zip(*[iter(queues)] * RSS_QUEUES_PER_ROW, strict=True)
    words = (
        sum(fitted(field, queue) for field, queue in zip(fields, row, strict=True)) for row in rows
    )
    on.fill("tp_rss_lkp_table", 0, words)


@inverse("RSS_VF_CONF")
def rss_functions(on: Raising, blob: bytes) -> None:
    """Stores each virtual function's two words."""
    on.copy("tp_rss_vfs", 0, blob)


@inverse("PATH_MTU")
def mtus(on: Raising, blob: bytes) -> None:
    """Stores the MTUs; their rounded logarithms, which the dump lacks, stay."""
    table, field = MTU_TABLE.register.lower(), on.r.TP_MTU_TABLE.field("MTUValue")
    kept = on.spaces.space(table).words
    for row, mtu in enumerate(parsed(MtuLayout, blob).mtus):
        kept[row] = kept[row] & ~field.mask | fitted(field, mtu)


@inverse("CCTRL")
def congestion(on: Raising, blob: bytes) -> None:
    """Stores the increments; what a row holds above them, which the dump lacks, stays."""
    kept = on.spaces.space(CCTRL_TABLE.register.lower()).words
    for row, increment in enumerate(parsed(CctrlLayout, blob).incr):
        kept[row] = kept[row] & ~INCREMENT | increment & INCREMENT


@inverse("HW_SCHED")
def schedulers(on: Raising, blob: bytes) -> None:
    """Stores paces, and unless TP_INDIRECT has them rates and gaps, that the driver's arithmetic,
    by its own clock, turns into those of the dump."""
    clk, layout = left_of(on.dump, "CLK"), parsed(SchedLayout, blob)
    khz = driver_khz(bytes_of(clk) if clk else None) or PRESET_KHZ
    ticks = (pace * (khz // 1000) & U32_MASK for pace in layout.pace_tab)
    on.fill(PACE_TABLE.register.lower(), 0, ticks)
    if left_of(on.dump, "TP_INDIRECT") is None:
        r, halves = on.r, range(U16_MASK + 1)
        rates = {kbps_of(half, khz): half for half in reversed(halves)}
        gaps = {gap_of(half, khz): half for half in reversed(halves)}
        _store_halves(on, r.TP_TX_MOD_Q1_Q0_RATE_LIMIT, [rates.get(n, 0) for n in layout.kbps])
        _store_halves(on, r.TP_TX_MOD_Q1_Q0_TIMER_SEPARATOR, [gaps.get(n, 0) for n in layout.ipg])


def _store_halves(on: Raising, first: Register, halves: list[int]) -> None:
    """Stores two schedulers' halves in each word; the words descend from the first pair's."""
    space = on.spaces.space(first.space)
    for pair, (low, high) in enumerate(zip(halves[::2], halves[1::2], strict=True)):
        on.store(space.name, space.index(int(first) - pair), high << 16 | low)


# Counters


@inverse("PM_STATS")
def payload_counters(on: Raising, blob: bytes) -> None:
    """Stores counts and totals; row 0 of both tables clears a counter."""
    layout = parsed(PmLayout, blob)
    for side in ("tx", "rx"):
        counts, totals = getattr(layout, f"{side}_cnt"), getattr(layout, f"{side}_cyc")
        for row in range(on.chip.memory.pm_stats):
            on.store(f"pm_{side}_stat_count", row + 1, counts[row])
            halves = totals[row] >> 32, totals[row] & U32_MASK
            on.fill(f"pm_{side}_stat_total", 2 * (row + 1), halves)


# Logic analysers


@inverse("TP_LA")
def tp_trace(on: Raising, blob: bytes) -> None:
    """Stores the trace from the write pointer on, which TP_DBG_LA_CONFIG has."""
    config, layout = on.r.TP_DBG_LA_CONFIG, parsed(TpLayout, blob)
    word, command = on.get(config), on.command(config)
    mode = config.field("DbgLaMode")
    word = word & ~mode.mask | fitted(mode, layout.mode)
    on.set(config, word)
    pointer = config.mask("DbgLaWptr", "DbgLaWhlf")
    command.set = command.set & ~pointer | word & pointer
    first, _ = tp_la_first(config, word)
    for i, value in enumerate(layout.data):
        on.fill("tp_la", 2 * ((first + i) % LA_ENTRIES), (value & U32_MASK, value >> 32))


@inverse("ULPRX_LA")
def ulp_rx_trace(on: Raising, blob: bytes) -> None:
    """Stores the traces. Of the write pointers, ULP_RX_LA_WRPTR shows one, and the others are
    taken for the same."""
    words = parsed(UlprxLayout, blob).data
    first = on.get(on.r.ULP_RX_LA_WRPTR) % ULPRX_TRACE_WORDS
    for trace in range(ULPRX_TRACES):
        on.store("ulp_rx_la_wrptr", trace, first)
        for i, word in enumerate(words[trace::ULPRX_TRACES]):
            place = (first + i) % ULPRX_TRACE_WORDS
            on.store("ulp_rx_la", trace * ULPRX_TRACE_WORDS + place, word)


@inverse("ULPTX_LA")
def ulp_tx_trace(on: Raising, blob: bytes) -> None:
    """Stores the traces, each from its read pointer on, and the sets of debug words."""
    trace = parsed(UlptxLayout, blob).trace
    for i in range(ULPTX_INSTANCES):
        words = trace.rd_data[i * ULPTX_READS : (i + 1) * ULPTX_READS]
        for step, word in enumerate(words, 1):
            on.store(f"ulp_tx_la_{i}", (trace.rdptr[i] + step) % ULPTX_READS, word)
    step = len(trace.rddata_asic) // ULPTX_ASIC_READS
    for i in range(ULPTX_ASIC_READS):
        words = trace.rddata_asic[i * step :][: step - 1]
        on.fill("ulp_tx_asic_debug", i * len(words), words)
    on.card.model(UlpTxAsicDebug).rewind()
