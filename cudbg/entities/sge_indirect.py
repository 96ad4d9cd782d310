"""SGE_INDIRECT: debug words of the scatter-gather engine, and the functions' queue bases."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, LittleStruct, sizeof, u32
from vmcoredd.chip.pci import PFS
from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Part, Table, Text, Value
from vmcoredd.cudbg.entities.indirect import Record, records
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, entity, per_chip
from vmcoredd.cudbg.words import Place, RegisterEntity
from vmcoredd.hw.indirect import indexed_read
from vmcoredd.hw.io import Each, Io, Read, Write

_DEBUG_WORDS = "sge_debug"
_VFS = 256
_MAPS = 4


class QueueBases(LittleStruct):
    """struct sge_qbase_reg_field: four map words per function."""

    _fields_ = (
        ("reg_addr", u32),
        ("reg_data", u32 * _MAPS),
        ("pf_data_value", u32 * (PFS * _MAPS)),
        ("vf_data_value", u32 * (_VFS * _MAPS)),
        ("vfcount", u32),
    )


class Layout(LittleStruct):
    """The layout of both chips; a T5 leaves the queue bases zero."""

    _fields_ = (("debug", Record * 2), ("qbase", QueueBases))


_RUNNING_BYTES = Layout.qbase.offset
"""The size that a driver makes while an interface is up: the debug words only."""


@entity(37, "SGE_INDIRECT")
class SgeIndirect(RegisterEntity):
    """Debug words of the scatter-gather engine, and the functions' queue bases
    (cudbg_collect_sge_indirect(), with no interface running).

    The kernel omits the queue bases while an interface is up. Since 5.12 it checks this through
    net devices that do not exist in a crash kernel, and faults. This collector reads what a driver
    without that defect reads.
    """

    all_zero = NOTHING_WRITTEN
    layouts = (Layout,)
    raw_bytes = sizeof(Layout)
    other_bytes = per_chip(t5=_RUNNING_BYTES, t6=_RUNNING_BYTES)
    accesses = per_chip(t5=64, t6=1384)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(sizeof(Layout))
        for item, record, words in records(area, chip.indirect(_DEBUG_WORDS)):
            record.describe(chip, item)
            indexed_read(
                io,
                chip.r[item.address_register],
                chip.r[item.data_register],
                [(0, item.words)],
                words,
            )
        if chip.sge.qbase_functions:
            _queue_bases(io, chip, area)

    def places(self, chip: Chip) -> Iterator[Place]:
        """Yields the debug words where BAR0 shows them too, else by their index."""
        for half, item in enumerate(chip.indirect(_DEBUG_WORDS)):
            first = half * sizeof(Record) + Record.outbuf.offset
            for i in range(item.words):
                name = f"{item.data_register}_INDEX_{i}"
                at = (BAR0, chip.r[name]) if name in chip.r else (item.data_register.lower(), i)
                yield Place(*at, first + i * WORD_BYTES)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = self.need_known(blob, chip)
        layout = Layout.from_bytes(bytes(words).ljust(sizeof(Layout), b"\0"))
        columns = [Column("register"), Column("value", "x8"), Column("fields")]
        tables: list[Part] = [
            Table(f"SGE debug words, {half.lower()}", columns, _debug(chip, half, record))
            for half, record in zip(("HIGH", "LOW"), layout.debug, strict=True)
        ]
        if not chip.sge.qbase_functions:
            return Decoded(tables)
        if len(words) == _RUNNING_BYTES:
            return Decoded([*tables, Text("queue bases: not read while an interface is up", ())])
        if not layout.qbase.reg_addr:
            return Decoded(tables)
        if layout.qbase.vfcount > _VFS:
            title = f"queue bases: {layout.qbase.vfcount} virtual functions are impossible"
            tables.append(Text(title, [f"Those of all {_VFS} that there is room for are shown."]))
        columns = [Column("function"), *(Column(name, "d") for name in _BASE_COLUMNS)]
        rows = Lazy(lambda: _bases(chip, layout.qbase))
        return Decoded([*tables, Table(f"queue bases; {_SIZES_ASSUMED}", columns, rows)])


def _queue_bases(io: Io, chip: Chip, area: memoryview) -> None:
    qbase = Layout.from_buffer(area).qbase
    maps = [chip.r[f"SGE_QBASE_MAP{i}"] for i in range(_MAPS)]
    qbase.reg_addr, qbase.reg_data = chip.r.SGE_QBASE_INDEX, maps
    first = Layout.qbase.offset + QueueBases.pf_data_value.offset
    functions = chip.sge.qbase_functions  # indexed and stored in this order: PFs, then VFs
    room = area[first : first + 4 * _MAPS * functions]
    io.run([Write(chip.r.SGE_QBASE_INDEX, Each(0)), *(Read(m) for m in maps)], functions, room)
    qbase.vfcount = chip.tp.rss_vfs


def _debug(chip: Chip, half: str, record: Record) -> list[list[Value]]:
    rows: list[list[Value]] = []
    for i, word in enumerate(record.outbuf[: record.ireg_offset_range]):
        name = f"SGE_DEBUG_DATA_{half}_INDEX_{i}"
        rows.append([name, word, chip.r[name].decode(word) if name in chip.r else {}])
    return rows


_SIZES_ASSUMED = "sizes are assumed to be powers of two, so ranges may seem to overlap"
_BASE_COLUMNS = (
    "egress 0 base",
    "egress 0 size",
    "egress 1 base",
    "egress 1 size",
    "ingress 0 base",
    "ingress 0 size",
    "ingress 1 base",
    "ingress 1 size",
)


def _bases(chip: Chip, qbase: QueueBases) -> Iterator[list[Value]]:
    """Yields the functions that have queues; registers hold sizes as logarithms (assumed)."""
    for function in range(PFS + min(qbase.vfcount, _VFS)):
        values = qbase.pf_data_value if function < PFS else qbase.vf_data_value
        first = _MAPS * (function if function < PFS else function - PFS)
        maps = values[first : first + _MAPS]
        if any(maps):
            name = f"PF{function}" if function < PFS else f"VF{function - PFS}"
            if maps == [U32_MASK] * _MAPS:
                yield [f"{name}: not read", *(None for _ in _BASE_COLUMNS)]
            else:
                yield [name, *_ranges(chip, maps)]


def _ranges(chip: Chip, maps: list[int]) -> Iterator[Value]:
    """Yields base and size of each kind of queue; nothing of words that were not read."""
    sizes = chip.r.SGE_QBASE_MAP0.decode(maps[0])
    ingress = chip.r.SGE_QBASE_MAP3.decode(maps[3])
    bases = [maps[1], maps[2], ingress["Ingress0_Base"], ingress["Ingress1_Base"]]
    names = ("Egress0_Size", "Egress1_Size", "Ingress0_Size", "Ingress1_Size")
    read = [word != U32_MASK for word in maps]
    for base, name, is_read in zip(bases, names, (*read[1:3], read[3], read[3]), strict=True):
        used = base or sizes[name]
        yield base if used and is_read else None
        yield 1 << sizes[name] if used and read[0] else None
