"""TID_INFO: the ranges of connection, server and filter ids, and how many are in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import Pf, param
from vmcoredd.chip.layout import U32_MASK, sizeof
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.asking import parameters
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import (
    Bytes,
    Column,
    Decoded,
    Fields,
    Item,
    Part,
    Table,
    Text,
    Value,
)
from vmcoredd.cudbg.driver_state import ASKED, DriverState, TidLayout, driver_state
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, Entity, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.hw.device import AdapterFlag
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Io

_REVISION = 1
_IN_USE = {"ip_users": "IPv4 connections in use", "ipv6_users": "IPv6 connections in use"}
_READ = ("le_db_conf", *_IN_USE)
"""What is read from registers; the driver knows all else."""
_RANGES = (
    ("server (STID)", "stid_base", "nstids"),
    ("being opened (ATID)", "", "natids"),
    ("filter (FTID)", "ftid_base", "nftids"),
    ("server filter (SFTID)", "sftid_base", "nsftids"),
    ("high-priority filter (HPFTID)", "hpftid_base", "nhpftids"),
    ("Ethernet offload (UOTID)", "uotid_base", "nuotids"),
)
"""The ids of each kind: the members with their first one and their number."""
_COLUMNS = (
    Column("ids"),
    Column("from", "d"),
    Column("to", "d"),
    Column("number", "d"),
    Column("remark"),
)
_NEVER_ATTACHED = (
    "The driver had not attached to the firmware: it has no flag that says so, and",
    "it knew none of these ranges. The zeros in the dump mean nothing.",
    "LE_TCAM tells where regions begin.",
)
_NOT_ASKED = (
    "The driver had attached to the firmware, but did not ask it for this dump:",
    "it had found the firmware dead (FW_OK is not among its flags), or was told",
    "to use the back door (use_backdoor in debugfs). What it had learned before",
    "stands here. What it asks for each dump is UNKNOWN, and 0 in the dump:",
    f"{', '.join(ASKED)}.",
)
_UNKNOWN = "UNKNOWN: not asked for this dump"


@entity(54, "TID_INFO")
class TidInfo(Entity):
    """Ranges of connection, server and filter ids, and how many are in use (cudbg_collect_tid()).

    The driver's ranges are zero before it has asked the firmware, so a crash kernel sees only the
    LE's configuration and its two counts.
    """

    momentary = Kind.WORK
    of_host = tuple(name for name in TidLayout.names() if name not in (*_READ, "version"))
    all_zero = NOTHING_WRITTEN
    layouts = (TidLayout,)
    raw_bytes = sizeof(TidLayout)
    accesses = 3

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(sizeof(TidLayout))
        if ctx.device.tids:
            area[:] = ctx.device.tids
        layout = TidLayout.from_buffer(area)
        layout.version.set(_REVISION, sizeof(TidLayout) - sizeof(VersionHeader))
        if ctx.device.attached:
            _ask(io, chip, ctx, layout)
        layout.flags = ctx.device.flags
        r = chip.r
        registers = [r.LE_DB_CONFIG, r.LE_DB_ACT_CNT_IPV4, r.LE_DB_ACT_CNT_IPV6]
        layout.le_db_conf, layout.ip_users, layout.ipv6_users = read_each(io, registers)

    explained_by = ("CLK",)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        VersionHeader.check(self.name, blob, _REVISION, sizeof(TidLayout) - sizeof(VersionHeader))
        layout = self.parse(TidLayout, blob)
        names = [flag.name for flag in AdapterFlag(layout.flags) if flag.name]
        flags = Item("flags", layout.flags, f"of the driver's adapter: {' '.join(names)}", "x")
        users = [Item(name, getattr(layout, name), text, "d") for name, text in _IN_USE.items()]
        config = chip.r.LE_DB_CONFIG.decode(layout.le_db_conf)
        bits = [Item(name, value) for name, value in config.items()]
        state = driver_state({**others, "TID_INFO": blob})
        return Decoded(
            [
                *_ranges_parts(layout, chip, state),
                Fields("in use, as the lookup engine counts", [*users, flags]),
                Fields(f"LE_DB_CONFIG {layout.le_db_conf:#010x}", bits),
            ]
        )


def _ask(io: Io, chip: Chip, ctx: Context, layout: TidLayout) -> None:
    """Asks the firmware for the ranges that a driver asks for in each dump."""

    def asked(start: Pf, end: Pf) -> tuple[int, int]:
        try:
            first, last = parameters(ctx, [param(start), param(end)])
        except DeadDevice:
            raise
        except DeviceError as error:
            raise Status(error.code, sys_err=error.code) from error
        return first, last - first + 1 & U32_MASK

    layout.uotid_base, layout.nuotids = asked(Pf.ETHOFLD_START, Pf.ETHOFLD_END)
    if active := chip.le.regions.get("active"):
        layout.tid_start = io.read(chip.r[active])
    layout.sb = io.read(chip.r[chip.le.server_start]) // chip.le.start_step
    if active:
        layout.hpftid_base, layout.nhpftids = asked(Pf.HPFILTER_START, Pf.HPFILTER_END)


def _ranges_parts(layout: TidLayout, chip: Chip, state: DriverState) -> Iterator[Part]:
    if not state.had_attached:
        yield Text("ranges of ids: UNKNOWN", _NEVER_ATTACHED)
        return
    if not state.asked:
        yield Text("ranges of ids: what the driver had learned before", _NOT_ASKED)
    asked = bool(state.asked)
    rows = [*_connections(layout, chip, asked=asked), *_ranges(layout, chip, asked=asked)]
    yield Table("ranges of ids", _COLUMNS, rows)


def _connections(layout: TidLayout, chip: Chip, *, asked: bool) -> Iterator[list[Value]]:
    """Yields the ranges of TIDs, as the driver's debugfs shows them (tid_info_show()).

    Where the TCAM's connections begin and end is known only if the firmware was `asked`.
    """
    end = layout.tid_start + layout.ntids
    starts_at_0 = chip.le.start_step > 1
    known = asked or starts_at_0
    if not chip.r.LE_DB_CONFIG.get(layout.le_db_conf, "HASHEN"):
        row = _range("connection (TID)", layout.tid_start, end)
        yield row if known or not layout.ntids else _unknown(row[0], layout.ntids)
        return
    if not asked:
        yield _unknown("connection in the TCAM")
    elif layout.sb:
        yield _range("connection in the TCAM", layout.tid_start, layout.sb)
    elif layout.flags & AdapterFlag.FW_OFLD_CONN:
        yield _range("connection in the TCAM", layout.aftid_base, layout.aftid_end + 1)
    name = "connection in the hash table"
    row = _range(name, layout.hash_base, end)
    yield row if known else [name, layout.hash_base, None, None, _UNKNOWN]


def _ranges(layout: TidLayout, chip: Chip, *, asked: bool) -> Iterator[list[Value]]:
    for name, base, count in _RANGES:
        first, number = getattr(layout, base) if base else 0, getattr(layout, count)
        if count in ASKED and not asked:
            yield _unknown(name)
            continue
        row = _range(name, first, first + _signed(number))
        if base == "stid_base" and not first and number and chip.le.start_step > 1:
            row[1], row[4] = 1, "id 0 is not used on this chip"
        if base == "sftid_base" and row[3]:
            row = _range(name, first, first + number - 1)
            row[3:] = [number, "the driver's range ends one earlier"]
        yield row


def _range(name: str, first: int, end: int) -> list[Value]:
    """Returns the row of the ids from `first` to `end` (exclusive)."""
    if end == first:
        return [name, None, None, 0, "none"]
    if end < first:
        return [name, first, end - 1 if end > 0 else None, None, "ends before it begins: no range"]
    return [name, first, end - 1, end - first, ""]


def _unknown(name: Value, number: int | None = None) -> list[Value]:
    return [name, None, None, number, _UNKNOWN]


def _signed(number: int) -> int:
    """Returns a number of ids that the driver computed as last - first + 1, in 32 bits."""
    return number - (number >> 31 << 32)
