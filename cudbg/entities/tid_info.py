"""TID_INFO: the ranges of connection, server and filter ids, and how many are in use."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
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
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, Entity, entity
from vmcoredd.hw.device import AdapterFlag
from vmcoredd.hw.indirect import read_each
from vmcoredd.hw.io import Io

_REVISION = 1


class Layout(LittleStruct):
    """struct cudbg_tid_info_region_rev1."""

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


_IN_USE = {"ip_users": "IPv4 connections in use", "ipv6_users": "IPv6 connections in use"}
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
_NOT_ASKED = (
    "The driver had not attached to the firmware (FW_OK is not among its flags):",
    "it did not know these ranges, and the zeros in the dump mean nothing.",
    "LE_TCAM tells where regions begin.",
)


@entity(54, "TID_INFO")
class TidInfo(Entity):
    """Ranges of connection, server and filter ids, and how many are in use (cudbg_collect_tid()).

    The driver's ranges are zero before it has asked the firmware, so a crash kernel sees only the
    LE's configuration and its two counts.
    """

    all_zero = NOTHING_WRITTEN
    raw_bytes = sizeof(Layout)
    accesses = 3

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        layout.version.set(_REVISION, sizeof(Layout) - sizeof(VersionHeader))
        layout.flags = ctx.device.flags
        r = chip.r
        registers = [r.LE_DB_CONFIG, r.LE_DB_ACT_CNT_IPV4, r.LE_DB_ACT_CNT_IPV6]
        layout.le_db_conf, layout.ip_users, layout.ipv6_users = read_each(io, registers)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        VersionHeader.check(self.name, blob, _REVISION, sizeof(Layout) - sizeof(VersionHeader))
        layout = self.parse(Layout, blob)
        names = [flag.name for flag in AdapterFlag(layout.flags) if flag.name]
        flags = Item("flags", layout.flags, f"of the driver's adapter: {' '.join(names)}", "x")
        users = [Item(name, getattr(layout, name), text, "d") for name, text in _IN_USE.items()]
        config = chip.r.LE_DB_CONFIG.decode(layout.le_db_conf)
        bits = [Item(name, value) for name, value in config.items()]
        return Decoded(
            [
                _ranges_part(layout, chip),
                Fields("in use, as the lookup engine counts", [*users, flags]),
                Fields(f"LE_DB_CONFIG {layout.le_db_conf:#010x}", bits),
            ]
        )


def _ranges_part(layout: Layout, chip: Chip) -> Part:
    if not layout.flags & AdapterFlag.FW_OK:
        return Text("ranges of ids: UNKNOWN", _NOT_ASKED)
    return Table("ranges of ids", _COLUMNS, [*_connections(layout, chip), *_ranges(layout, chip)])


def _connections(layout: Layout, chip: Chip) -> Iterator[list[Value]]:
    """Yields the ranges of TIDs, as the driver's debugfs shows them (tid_info_show())."""
    end = layout.tid_start + layout.ntids - 1
    if not chip.r.LE_DB_CONFIG.get(layout.le_db_conf, "HASHEN"):
        yield _range("connection (TID)", layout.tid_start, layout.ntids)
    elif layout.sb:
        yield _range("connection in the TCAM", layout.tid_start, layout.sb - layout.tid_start)
        yield _range("connection in the hash table", layout.hash_base, end + 1 - layout.hash_base)
    else:
        if layout.flags & AdapterFlag.FW_OFLD_CONN:
            count = layout.aftid_end + 1 - layout.aftid_base
            yield _range("connection in the TCAM", layout.aftid_base, count)
        yield _range("connection in the hash table", layout.hash_base, end + 1 - layout.hash_base)


def _ranges(layout: Layout, chip: Chip) -> Iterator[list[Value]]:
    for name, base, count in _RANGES:
        first, number = getattr(layout, base) if base else 0, getattr(layout, count)
        row = _range(name, first, number)
        if base == "stid_base" and not first and number and chip.le.start_step > 1:
            row[1], row[4] = 1, "id 0 is not used on this chip"
        if base == "sftid_base" and number:
            row[2], row[4] = first + number - 2, "the driver's range ends one earlier"
        yield row


def _range(name: str, first: int, number: int) -> list[Value]:
    if number <= 0:
        return [name, None, None, 0, "none"]
    return [name, first, first + number - 1, number, ""]
