"""The chip generations as records of data: a difference is a value here, not an `if` elsewhere."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

from chip.table import Registers


class Range(NamedTuple):
    """Consecutive words of an index port: the first index, and how many."""

    start: int
    words: int


@dataclass(frozen=True)
class Chip:
    """One generation. Sizes are in the unit their name says; tables count entries."""

    name: str
    """`t5` or `t6`."""
    version: int
    """The top nibble of the PCI device id (t4_hw.c, t4_get_chip_type())."""
    cim_la_words: int
    """Words of CIM_LA behind its configuration word (cudbg_collect_cim_la())."""
    rss_rows: int
    """Rows of TP_RSS_LKP_TABLE, two queues each."""
    rss_vfs: int
    """Virtual functions with an RSS configuration (arch.vfcount)."""
    pm_stats: int
    """Counters of PM_RX_STAT and of PM_TX_STAT (arch.pm_stats_cnt)."""
    mps_tcam_entries: int
    """Entries of the MPS classification TCAM (arch.mps_tcam_size)."""
    max_ports: int
    """MAC ports with a register region."""

    @cached_property
    def r(self) -> Registers:
        """The chip's registers: `chip.r.PL_WHOAMI`."""
        return Registers(self.name)

    def ranges(self, table: str) -> tuple[Range, ...]:
        """The rows of `chip/ranges/<table>_<chip>.csv`."""
        text = (files("chip") / "ranges" / f"{table}_{self.name}.csv").read_text()
        return tuple(_range(row) for row in csv.DictReader(text.splitlines()))

    def __repr__(self) -> str:
        return self.name.upper()


def _range(row: dict[str, str]) -> Range:
    first = int(row["first"], 16)
    return Range(first, (int(row["last"], 16) - first) // 4 + 1)


T5 = Chip(
    name="t5",
    version=5,
    cim_la_words=2048,
    rss_rows=1024,
    rss_vfs=128,
    pm_stats=5,
    mps_tcam_entries=512,
    max_ports=4,
)
T6 = Chip(
    name="t6",
    version=6,
    cim_la_words=2050,
    rss_rows=2048,
    rss_vfs=256,
    pm_stats=7,
    mps_tcam_entries=512,
    max_ports=2,
)
CHIPS = (T5, T6)


def chip_of_device(device_id: int) -> Chip:
    """The generation of a PCI device id (its top nibble); ValueError for any other."""
    for chip in CHIPS:
        if device_id >> 12 == chip.version:
            return chip
    raise ValueError(f"device id {device_id:#06x}: neither a T5 (0x5xxx) nor a T6 (0x6xxx)")
