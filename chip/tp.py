"""TP: the transport processor's tables, how a row of them is asked for, and its analysers."""

from __future__ import annotations

from typing import NamedTuple


class RequestTable(NamedTuple):
    """A table behind a `request` register: write `prefix | row`, read the row there."""

    register: str
    prefix: int
    """What the upper bits of a request hold; with anything else the write stores a row."""
    rows: int


MTUS = 16
CONGESTION_WINDOWS = 32
SCHEDULERS = 8
MTU_TABLE = RequestTable("TP_MTU_TABLE", 0xFF000000, MTUS)
CCTRL_TABLE = RequestTable("TP_CCTRL_TABLE", 0xFFFF0000, MTUS * CONGESTION_WINDOWS)
"""Row: MTU index << 5 | window."""
PACE_TABLE = RequestTable("TP_PACE_TABLE", 0xFFFF0000, SCHEDULERS)
RSS_REQUEST = 0xFFF00000
"""Upper bits of a request to TP_RSS_LKP_TABLE; the chip says how many rows (`rss_rows`)."""
LA_ENTRIES = 128
"""64-bit entries of TP's logic analyser."""
ULPRX_TRACES = 8
ULPRX_TRACE_WORDS = 512
"""The logic analyser of ULP_RX: traces, and words of each."""
ULPTX_INSTANCES = 11
ULPTX_STRIDE = 0x10
ULPTX_READS = 512
ULPTX_ASIC_READS = 128
"""The logic analyser of ULP_TX (cudbg_entity.h)."""
CLOCK_REGISTERS = (
    "TP_TIMER_RESOLUTION",
    "TP_DACK_TIMER",
    "TP_RXT_MIN",
    "TP_RXT_MAX",
    "TP_PERS_MIN",
    "TP_PERS_MAX",
    "TP_KEEP_IDLE",
    "TP_KEEP_INTVL",
    "TP_INIT_SRTT",
    "TP_FINWAIT2_TIMER",
)
"""What CLK reads, in order (cudbg_collect_clk_info())."""
ULPTX_ASIC_REGISTERS = (
    "ULP_TX_ASIC_DEBUG_CTRL",
    "ULP_TX_ASIC_DEBUG_0",
    "ULP_TX_ASIC_DEBUG_1",
    "ULP_TX_ASIC_DEBUG_2",
    "ULP_TX_ASIC_DEBUG_3",
    "ULP_TX_ASIC_DEBUG_4",
    "PM_RX_CFG",
)
"""What ULPTX_LA reads after each strobe. The last is an oddity of the driver: it reads
PM_RX_BASE_ADDR, the start of another block, as the sixth debug word."""


class Tp(NamedTuple):
    """What differs by chip."""

    channels: int
    """arch.nchan."""


T5 = Tp(channels=4)
T6 = Tp(channels=2)
