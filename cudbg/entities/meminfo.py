"""MEMINFO: the adapter's memories, their regions, and how full they are."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, LittleStruct, sizeof
from vmcoredd.chip.memory import MEMINFO_NAMES, REGIONS
from vmcoredd.cudbg.blank import NOT_MEASURED
from vmcoredd.cudbg.container import VersionHeader
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Part, Table, Text, Value
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, Entity, entity, per_chip
from vmcoredd.cudbg.errors import DumpFormatError, Status, WrongSize
from vmcoredd.cudbg.meminfo import read_meminfo
from vmcoredd.cudbg.memory_map import Extent, Meminfo
from vmcoredd.hw.io import Io
from vmcoredd.plural import counted

_REVISION = 1


class Layout(LittleStruct):
    """struct cudbg_ver_hdr, then struct cudbg_meminfo."""

    _fields_ = (("version", VersionHeader), ("info", Meminfo))


@entity(44, "MEMINFO")
class MeminfoEntity(Entity):
    """The memory map and its usage (cudbg_collect_meminfo())."""

    all_zero = NOTHING_WRITTEN
    layouts = (Layout,)
    raw_bytes = sizeof(Layout)
    accesses = per_chip(t5=65, t6=63)
    """One fewer on a card without a doorbell FIFO in memory."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = Layout.from_buffer(ctx.area(sizeof(Layout)))
        layout.version.set(_REVISION, sizeof(Meminfo))
        try:
            read_meminfo(io, chip, layout.info)
        except Status as failure:
            raise Status(failure.code, sys_err=failure.code) from failure

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return Decoded(list(_parts(meminfo_of(blob), chip)))


def meminfo_of(blob: Bytes) -> Meminfo:
    """Returns the memory map in MEMINFO's bytes; raises DumpFormatError if they cannot hold one."""
    VersionHeader.check("MEMINFO", blob, _REVISION, sizeof(Meminfo))
    if len(blob) != sizeof(Layout):
        raise WrongSize("MEMINFO", sizeof(Layout), len(blob))
    info: Meminfo = Layout.from_bytes(blob[0 : sizeof(Layout)]).info
    if info.avail_c > len(info.avail) or info.mem_c > len(info.mem):
        found = f"{counted(info.avail_c, 'memory')} and {counted(info.mem_c, 'region')}"
        room = f"{len(info.avail)} and {len(info.mem)}"
        raise DumpFormatError(f"MEMINFO: it counts {found}, with room for {room}")
    return info


def _parts(info: Meminfo, chip: Chip) -> Iterator[Part]:
    if not info.avail_c:
        yield Text(NOT_MEASURED, ["It lists no memory, and every card has some."])
        return
    columns = [Column("memory"), Column("from", "x8"), Column("to", "x8"), Column("size", "d")]
    yield Table("memories", columns, [_memory(e) for e in info.avail[: info.avail_c]])
    columns = [Column("region"), Column("from", "x8"), Column("to", "x8"), Column("size", "d")]
    yield Table("regions", columns, list(_regions(info)))
    yield Fields("processor and page memory", _fields(info))
    of = chip.memory.pages_of
    columns = [Column("of"), Column(of, "d"), Column("used", "d"), Column("allocated", "d")]
    yield Table(f"buffer pages of each {of}", columns, list(_pages(info, chip)))


def _memory(extent: Extent) -> list[Value]:
    known = extent.idx < len(MEMINFO_NAMES)
    name = MEMINFO_NAMES[extent.idx] if known else f"memory {extent.idx}"
    return [name, extent.base, extent.limit - 1, extent.limit - extent.base]


def _regions(info: Meminfo) -> Iterator[list[Value]]:
    """Yields the visible regions; one without a limit extends to the next."""
    count: int = info.mem_c
    for i, extent in enumerate(info.mem[:count]):
        if extent.idx >= len(REGIONS):
            continue
        limit = extent.limit
        if not limit:
            limit = info.mem[i + 1].base - 1 if i + 1 < count else 0xFFFFFFFF
        size = limit + 1 - extent.base
        where = [extent.base, limit, size] if size >= 0 else [extent.base, None, None]
        name = REGIONS[extent.idx].name
        yield [name, *where] if extent.base != U32_MASK else [f"{name}: not read", *[None] * 3]


_UNITS = {ord("K"): "KiB", ord("M"): "MiB"}


def _fields(info: Meminfo) -> list[Item]:
    rx, tx = info.rx_pages_data, info.tx_pages_data
    return [
        Item("processor RAM", f"{info.up_ram_lo:#x} to {info.up_ram_hi:#x}"),
        Item("processor external memory", f"{info.up_extmem2_lo:#x} to {info.up_extmem2_hi:#x}"),
        Item(
            "receive pages",
            rx[0],
            f"of {rx[1]} KiB, {info.free_rx_cnt} free, {counted(rx[2], 'channel')}",
        ),
        Item(
            "transmit pages",
            tx[0],
            f"of {tx[1]} {_UNITS.get(tx[2]) or f'units of code {tx[2]}'}, {info.free_tx_cnt} free, "
            f"{counted(tx[3], 'channel')}",
        ),
        Item("payload structures", info.p_structs, f"{info.p_structs_free_cnt} free"),
    ]


def _pages(info: Meminfo, chip: Chip) -> Iterator[list[Value]]:
    """Yields all ports and the loopbacks that the chip has, as debugfs (meminfo_show())."""
    for name, used, alloc, count in (
        ("port", info.port_used, info.port_alloc, len(info.port_used)),
        ("loopback", info.loopback_used, info.loopback_alloc, chip.tp.channels),
    ):
        for i in range(count):
            yield [name, i, used[i], alloc[i]]
