"""TID_INFO: the ranges of connection, server and filter ids, and how many are in use."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Item
from vmcoredd.cudbg.entity import Context, Entity, entity
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


_MEANINGS = {
    "ntids": "connection ids",
    "nstids": "server ids",
    "stid_base": "the first server id",
    "hash_base": "the first id of the hash region",
    "natids": "ids of connections being opened",
    "nftids": "filter ids",
    "ftid_base": "the first filter id",
    "aftid_base": "the first id of the active region",
    "aftid_end": "the last id of the active region",
    "sftid_base": "the first filter id of servers",
    "nsftids": "filter ids of servers",
    "uotid_base": "the first id of Ethernet offload",
    "nuotids": "ids of Ethernet offload",
    "sb": "where the server region begins",
    "ip_users": "IPv4 connections in use",
    "ipv6_users": "IPv6 connections in use",
    "hpftid_base": "the first high-priority filter id",
    "nhpftids": "high-priority filter ids",
    "tid_start": "where the active region begins",
}


@entity(54, "TID_INFO")
class TidInfo(Entity):
    """Ranges of connection, server and filter ids, and how many are in use (cudbg_collect_tid()).

    The driver's ranges are zero before it has asked the firmware, so a crash kernel sees only the
    LE's configuration and its two counts.
    """

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
        numbers = [
            Item(name, getattr(layout, name), meaning, "d") for name, meaning in _MEANINGS.items()
        ]
        flags = Item("flags", layout.flags, "of the driver's adapter", "x")
        config = chip.r.LE_DB_CONFIG.decode(layout.le_db_conf)
        bits = [Item(name, value) for name, value in config.items()]
        return Decoded(
            [
                Fields("TIDs", [*numbers, flags]),
                Fields(f"LE_DB_CONFIG {layout.le_db_conf:#010x}", bits),
            ]
        )
