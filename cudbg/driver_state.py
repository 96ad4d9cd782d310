"""What the driver knew when it made the dump: whether it had attached to the firmware, and whether
it asked it for this dump.

A crash kernel's driver dumps the adapter before its first command to the firmware. It computes with
presets, and has no ids of connections and filters. A driver that had attached has both, also after
it found the firmware dead (t4_report_fw_error() clears FW_OK) or was told to use the back door
(debugfs' `use_backdoor`): then it only asks nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmcoredd.chip.layout import U32_MASK, LittleStruct, sizeof, u32
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.device_log import KHZ_LEAST, KHZ_MOST
from vmcoredd.hw.device import AdapterFlag

EXPLAINED_BY = ("TID_INFO", "CLK")
"""The entities that `driver_state` looks into."""
PRESET_KHZ = 50_000
"""The core clock that the driver assumes until the firmware tells it (t4_prep_adapter())."""


class TidLayout(LittleStruct):
    """TID_INFO's bytes: struct cudbg_tid_info_region_rev1."""

    _fields_ = (
        ("version", VersionHeader),
        ("ntids", u32),
        ("nstids", u32),
        ("stid_base", u32),
        ("hash_base", u32),
        ("natids", u32),
        ("nftids", u32),
        ("ftid_base", u32),
        ("aftid_base", u32),
        ("aftid_end", u32),
        ("sftid_base", u32),
        ("nsftids", u32),
        ("uotid_base", u32),
        ("nuotids", u32),
        ("sb", u32),
        ("flags", u32),
        ("le_db_conf", u32),
        ("ip_users", u32),
        ("ipv6_users", u32),
        ("hpftid_base", u32),
        ("nhpftids", u32),
        ("tid_start", u32),
        ("reserved", u32 * 16),
    )


ASKED = ("uotid_base", "nuotids", "sb", "hpftid_base", "nhpftids", "tid_start")
"""What the driver fills in only if it may ask the firmware (cudbg_collect_tid())."""
_KNOWN = (
    *("ntids", "nstids", "stid_base", "hash_base", "natids", "nftids", "ftid_base"),
    *("aftid_base", "aftid_end", "sftid_base", "nsftids"),
)
"""What it learns when it attaches."""
_JUDGED_BYTES = TidLayout.flags.offset + TidLayout.flags.size
"""As far as the flags, behind all of _KNOWN; what of ASKED is behind them may not be left."""
_BEFORE_ATTACHING = AdapterFlag.DEV_ENABLED | AdapterFlag.ROOT_NO_RELAXED_ORDERING
"""Flags that it sets before its first command (init_one())."""
_PERIOD_AT = 72
"""The byte offset of `cclk_ps` in CLK (struct cudbg_clk_info)."""
_PS_PER_MS = 1_000_000_000


@dataclass(frozen=True)
class DriverState:
    """Each is None where the dump does not tell."""

    had_attached: bool | None = None
    """Whether the driver had attached to the firmware, at any time before the dump."""
    asked: bool | None = None
    """Whether it asked the firmware while it collected TID_INFO; else it used back doors."""


def driver_state(others: Mapping[str, Bytes]) -> DriverState:
    """Judges the driver by the bytes of EXPLAINED_BY."""
    tid_info, khz = others.get("TID_INFO"), driver_khz(others.get("CLK"))
    knew_clock = khz not in (0, PRESET_KHZ)
    if tid_info is None or len(tid_info) < _JUDGED_BYTES:
        return DriverState(had_attached=knew_clock or None)
    left = bytes(tid_info[: sizeof(TidLayout)])
    tids = TidLayout.from_bytes(left.ljust(sizeof(TidLayout), b"\0"))
    if tids.flags == U32_MASK:  # no driver has all of them
        return DriverState(had_attached=knew_clock or None)
    flags = AdapterFlag(tids.flags)
    asked = any(getattr(tids, name) for name in ASKED) or (
        False if len(left) == sizeof(TidLayout) else None
    )
    knew = any(getattr(tids, name) for name in _KNOWN) or bool(flags & ~_BEFORE_ATTACHING)
    return DriverState(bool(asked or knew or knew_clock), asked)


def driver_khz(clk: Bytes | None) -> int:
    """Returns the core clock that the driver used, from CLK's bytes; 0 if they do not tell it. A
    period that no clock has was not measured."""
    period = b"" if clk is None else bytes(clk[_PERIOD_AT : _PERIOD_AT + 4])
    ps = int.from_bytes(period, "little") if len(period) == 4 else 0
    khz = _PS_PER_MS // ps if ps else 0
    return khz if KHZ_LEAST <= khz <= KHZ_MOST else 0
