"""Decoders of entities that Linux does not collect, or only for `ethtool -w`.

FreeBSD's driver and the vendor's collector do. The layouts are FreeBSD's (cudbg_entity.h,
common.h). No such dump was ever seen here, which each title says.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.container import EntityHeader
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Hexdump, Item, Section, Table
from vmcoredd.cudbg.entity import Entity, entities
from vmcoredd.cudbg.errors import WrongSize, describe
from vmcoredd.cudbg.names import published

UNSEEN = "layout of FreeBSD's driver, never seen from the field"
_PFS = 8
_PORT = (
    *("octets", "frames", "bcast_frames", "mcast_frames", "ucast_frames", "error_frames"),
    *("frames_64", "frames_65_127", "frames_128_255", "frames_256_511", "frames_512_1023"),
    *("frames_1024_1518", "frames_1519_max", "drop"),
    *(f"{what}{group}" for what in ("ovflow", "trunc") for group in range(4)),
)
"""struct lb_port_stats."""


class Numbers(Entity):
    """Named numbers: `members` are (names, format of `struct`), without padding of its own."""

    members: tuple[tuple[str, str], ...]
    form = ""

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = struct.Struct("<" + "".join(form for _, form in self.members))
        values = layout.unpack(self.need(blob, layout.size))
        names = [name for names, _ in self.members for name in names.split()]
        items = [Item(n, v, form=self.form) for n, v in zip(names, values, strict=True)]
        return Decoded([Fields(f"{self.name} ({UNSEEN})", items)])


class RssPfConf(Entity):
    """The RSS configuration of each PF; map and mask, which the PFs share, are in every row."""

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        rows = [list(row) for row in struct.iter_unpack("<3I", self.need(blob, 12 * _PFS))]
        columns = [Column("PF", "d"), *(Column(n, "x8") for n in ("map", "mask", "configuration"))]
        return Decoded([Table(f"PFs ({UNSEEN})", columns, [[i, *r] for i, r in enumerate(rows)])])


class SwState(Entity):
    """The state of firmware and driver."""

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        state, caller, system = struct.unpack("<I100sB67x", self.need(blob, 172))
        text = caller.split(b"\0")[0].decode("utf-8", "backslashreplace")
        items = [
            Item("PCIE_FW", state, form="x8"),
            Item("collected by", text),
            Item("operating system", system, "a number of the collector's"),
        ]
        return Decoded([Fields(f"software ({UNSEEN})", items)])


class LbStats(Entity):
    """The counters of the loopback ports."""

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        ports = struct.Struct(f"<{len(_PORT)}Q")
        data = memoryview(blob[:])
        if len(data) < 8 or (len(data) - 8) % ports.size:
            count = max(0, len(data) - 8) // ports.size + 1
            raise WrongSize(self.name, 8 + count * ports.size, len(data))
        rows = [[i, *row] for i, row in enumerate(ports.iter_unpack(data[8:]))]
        columns = [Column(name, "d") for name in ("port", *_PORT)]
        return Decoded([Table(f"loopback ports ({UNSEEN})", columns, rows)])


class Memory(Entity):
    """Bytes of a memory."""

    host_order = False

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return Decoded([Hexdump(self.name, [Section("all", 0, len(blob))], blob)])


class ExtEntity(Entity):
    """Entities that were collected later, each with its header before its data."""

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        columns = [Column(n, "d") for n in ("entity", "offset", "bytes")] + [Column("status")]
        title = f"collected later ({UNSEEN}); offsets are from the start of this entity"
        return Decoded([Table(title, columns, [*self._rows(blob)])])

    def _rows(self, blob: Bytes) -> Iterator[list[int | str]]:
        at, size = 0, sizeof(EntityHeader)
        while at + size <= len(blob):
            header = EntityHeader.from_bytes(bytes(blob[at : at + size]))
            yield [header.entity_type, at + size, header.size, describe(header.hdr_flags)]
            at += size + header.size


_ERRORS = (
    *("mac_in_errs", "hdr_in_errs", "tcp_in_errs", "tnl_cong_drops"),
    *("ofld_chan_drops", "tnl_tx_drops", "ofld_vlan_drops", "tcp6_in_errs"),
)
_TCP = ["tcp_out_rsts", "tcp_in_segs", "tcp_out_segs", "tcp_retrans_segs"]


def _four(*names: str) -> str:
    """Returns the names of arrays of four: one element for each channel."""
    return " ".join(f"{name}[{i}]" for name in names for i in range(4))


_NUMBERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "RSS_KEY": ((" ".join(f"word{i}" for i in range(10)), "10I"),),
    "RSS_CONF": (
        (
            " ".join(f"TP_RSS_CONFIG{end}" for end in ("", "_TNL", "_OFD", "_SYN", "_VRT", "_CNG")),
            "6I",
        ),
        ("chip", "I"),
    ),
    "TCP_STATS": tuple((" ".join(f"{ip}_{n}" for n in _TCP), "I4x3Q") for ip in ("v4", "v6")),
    "TP_ERR_STATS": ((_four(*_ERRORS), "32I"), ("ofld_no_neigh ofld_cong_defer nchan", "3I")),
    "FCOE_STATS": (
        *((f"frames_ddp[{i}] frames_drop[{i}] octets_ddp[{i}]", "IIQ") for i in range(4)),
        ("nchan", "I4x"),
    ),
    "RDMA_STATS": (("rqe_dfr_pkt rqe_dfr_mod", "2I"),),
    "CPL_STATS": ((_four("req", "rsp"), "8I"), ("nchan", "I")),
    "DDP_STATS": (("frames drops octets", "IIQ"),),
    "WC_STATS": (("wr_cl_success wr_cl_fail", "2I"),),
    "TX_RATE": ((_four("nrate", "orate"), "8Q"), ("nchan", "I4x")),
}
_KINDS: Mapping[str, type[Entity]] = {
    "RSS_PF_CONF": RssPfConf,
    "SW_STATE": SwState,
    "LB_STATS": LbStats,
    "FLASH": Memory,
    "EXT_ENTITY": ExtEntity,
}
_IN_HEX = ("RSS_KEY", "RSS_CONF")


@cache
def decoders() -> Mapping[str, Entity]:
    """Returns every entity that can be decoded, by name."""
    foreign: dict[str, Entity] = {}
    for number, name, _ in published():
        if name in _NUMBERS:
            form = "x8" if name in _IN_HEX else "d"
            foreign[name] = Numbers(number, name, {"members": _NUMBERS[name], "form": form})
        elif name in _KINDS:
            foreign[name] = _KINDS[name](number, name, {})
    return {**foreign, **entities()}
