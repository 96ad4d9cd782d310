"""RSS, RSS_VF_CONF, PATH_MTU, CCTRL: tables of the transport processor (TP)."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterator, Mapping, Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import LdstSpace
from vmcoredd.chip.layout import U16_MASK, LittleStruct, sizeof, u16, u16s, u32s
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.tp import (
    CCTRL_TABLE,
    CONGESTION_WINDOWS,
    MTU_TABLE,
    MTUS,
    RSS_QUEUES_PER_ROW,
    RSS_REQUEST,
)
from vmcoredd.cudbg.asking import tp_words
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Text, Value
from vmcoredd.cudbg.entity import Context, Entity, entity, per_chip
from vmcoredd.cudbg.rss_functions import EXPLAINED_BY, rss_functions
from vmcoredd.hw.io import Each, Io, Op, Poll, Read, Write

# RSS

_RSS_ATTEMPTS = 5
_RSS_COLUMNS = 8


@entity(22, "RSS")
class Rss(Entity):
    """The table that spreads received packets over queues (cudbg_collect_rss()).

    16-bit queue ids, two per row of the chip's table.
    """

    momentary = Kind.WORK
    all_zero = (
        "EMPTY: All {count} words are 0: every packet goes to queue 0, as if the table was "
        "never set."
    )
    raw_bytes = per_chip(t5=4096, t6=8192)
    other_bytes = per_chip(t5=4096, t6=4096)
    """In older kernels (4.18), which read half of a T6's table."""
    accesses = per_chip(t5=2048, t6=4096)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(2 * RSS_QUEUES_PER_ROW * chip.tp.rss_rows).cast("H")
        table = chip.r.TP_RSS_LKP_TABLE
        valid = table.mask("LkpTblRowVld")
        ops: list[Op] = [
            Write(table, Each(RSS_REQUEST)),
            Poll(table, valid, valid, _RSS_ATTEMPTS, error=-errno.EAGAIN, keep=True),
        ]
        words = u32s(io.run(ops, chip.tp.rss_rows))
        for i in range(RSS_QUEUES_PER_ROW):
            queue = table.field(f"LkpTblQueue{i}")
            area[i::RSS_QUEUES_PER_ROW] = memoryview(array("H", queue.get_each(words)))

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        queues = u16s(self.need_known(blob, chip))
        lacking = RSS_QUEUES_PER_ROW * chip.tp.rss_rows - len(queues)
        columns = [Column("entry", "d"), *(Column(f"+{i}", "d") for i in range(_RSS_COLUMNS))]
        cells, starts = _held(queues), range(0, len(queues), _RSS_COLUMNS)
        rows = Lazy(lambda: ([at, *cells[at : at + _RSS_COLUMNS]] for at in starts))
        title = (
            f"queue ids; the driver did not read the last {lacking:,}" if lacking else "queue ids"
        )
        return Decoded([Table(title, columns, rows), *_doubt(cells)])


def _held(values: Sequence[int]) -> list[int | None]:
    """Returns values of registers of fewer than 16 bits, None for those that none can hold."""
    return [None if value == U16_MASK else value for value in values]


def _doubt(cells: Sequence[int | None]) -> list[Text]:
    """Says why cells are empty, if any is."""
    line = "Empty cells are ffff, which the register cannot hold."
    return [Text("", [line])] if None in cells else []


# RSS_VF_CONF

VF_RECORD = 8  # struct cudbg_rss_vf_conf: VFL, then VFH


@entity(25, "RSS_VF_CONF")
class RssVfConf(Entity):
    """How each virtual function's packets are hashed (cudbg_collect_rss_vf_config()).

    The driver reads TP_RSS_CONFIG_VRT before each request and writes it back with another index;
    nothing else in it changes, so the first word read is used for all requests.
    """

    momentary = Kind.IDENTITY
    raw_bytes = per_chip(t5=1024, t6=2048)
    accesses = per_chip(t5=768, t6=1536)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(VF_RECORD * chip.tp.rss_vfs), chip.r
        request = r.TP_RSS_CONFIG_VRT
        base = io.read(request)
        base &= ~request.mask("VfRdRg", "VfWrEn", "KeyWrEn", "VfWrAddr")
        base |= request.of(VfRdEn=1)
        step = request.of(VfWrAddr=1)
        load: list[Op] = [
            Write(r.TP_PIO_ADDR, r.TP_RSS_VFL_CONFIG),
            Read(r.TP_PIO_DATA),
            Write(r.TP_PIO_ADDR, r.TP_RSS_VFH_CONFIG),
            Read(r.TP_PIO_DATA),
        ]
        if ctx.device.attached:
            both = [r.TP_RSS_VFL_CONFIG, r.TP_RSS_VFH_CONFIG]
            for vf in range(chip.tp.rss_vfs):
                if vf:
                    io.read(request)
                io.write(request, base + step * vf)
                area[VF_RECORD * vf : VF_RECORD * (vf + 1)] = b"".join(
                    tp_words(io, ctx, LdstSpace.TP_PIO, [register]) for register in both
                )
            return
        further: list[Op] = [Read(request, keep=False), Write(request, Each(base + step, step))]
        io.run([Write(request, base), *load], out=area[:VF_RECORD])
        io.run([*further, *load], chip.tp.rss_vfs - 1, area[VF_RECORD:])

    explained_by = EXPLAINED_BY

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        words = u32s(self.need(blob, VF_RECORD * chip.tp.rss_vfs))
        names = [field.name for field in chip.r.TP_RSS_VFH_CONFIG.fields]
        columns = [Column("VF", "d"), Column("KEYSCRAMBLE", "x8")]
        columns += [Column(name, "d") for name in names]
        functions = Table("virtual functions", columns, Lazy(lambda: _vf_rows(words, chip)))
        return Decoded([*rss_functions(others, chip), functions])


def _vf_rows(words: tuple[int, ...], chip: Chip) -> Iterator[list[Value]]:
    for vf, (vfl, vfh) in enumerate(zip(words[::2], words[1::2], strict=True)):
        yield [vf, vfl, *chip.r.TP_RSS_VFH_CONFIG.decode(vfh).values()]


# PATH_MTU


class MtuLayout(LittleStruct):
    """The table, in bytes."""

    _fields_ = (("mtus", u16 * MTUS),)


@entity(27, "PATH_MTU")
class PathMtu(Entity):
    """The sixteen MTUs that connections choose from (cudbg_collect_path_mtu())."""

    all_zero = "NOT MEASURED: All MTUs are 0, which is none: the table was never set, or not read."
    layouts = (MtuLayout,)
    raw_bytes = sizeof(MtuLayout)
    accesses = 32

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = MtuLayout.from_buffer(ctx.area(sizeof(MtuLayout)))
        table = chip.r.TP_MTU_TABLE
        words = u32s(io.run([Write(table, Each(MTU_TABLE.prefix)), Read(table)], MTUS))
        layout.mtus = [table.get(word, "MTUValue") for word in words]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(MtuLayout, blob)
        columns = [Column("entry", "d"), Column("MTU in bytes", "d")]
        mtus = _held(layout.mtus)
        return Decoded([Table("path MTUs", columns, list(enumerate(mtus))), *_doubt(mtus)])


# CCTRL

INCREMENT = 0x1FFF


class CctrlLayout(LittleStruct):
    """Increments, grouped by MTU."""

    _fields_ = (("incr", u16 * CCTRL_TABLE.rows),)


@entity(60, "CCTRL")
class Cctrl(Entity):
    """The congestion control table: additive increments by MTU and window
    (cudbg_collect_cctrl())."""

    all_zero = "EMPTY: All increments are 0, as if the table was never set."
    layouts = (CctrlLayout,)
    raw_bytes = sizeof(CctrlLayout)
    accesses = 1024

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout = CctrlLayout.from_buffer(ctx.area(sizeof(CctrlLayout)))
        table = chip.r.TP_CCTRL_TABLE
        ops: list[Op] = [Write(table, Each(CCTRL_TABLE.prefix)), Read(table)]
        layout.incr = [word & INCREMENT for word in u32s(io.run(ops, CCTRL_TABLE.rows))]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(CctrlLayout, blob)
        columns = [Column("window", "d"), *(Column(f"MTU {i}", "d") for i in range(MTUS))]
        cells = _held(layout.incr)
        rows = [[i, *cells[i::CONGESTION_WINDOWS]] for i in range(CONGESTION_WINDOWS)]
        return Decoded([Table("increments", columns, rows), *_doubt(cells)])
