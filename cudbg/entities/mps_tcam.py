"""MPS_TCAM: the MAC addresses that the packet switch knows, and the functions they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import (
    U16_MASK,
    U32_MASK,
    LittleStruct,
    column,
    sizeof,
    u8,
    u16,
    u32,
    u32s,
    u64,
    u64s,
)
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.mps import REPLICATION_WORDS
from vmcoredd.cudbg.asking import replication
from vmcoredd.cudbg.blank import ALL_REGISTERS_ZERO, is_silent
from vmcoredd.cudbg.decoded import (
    Bytes,
    Column,
    Decoded,
    Fields,
    Item,
    Lazy,
    Part,
    Table,
    Text,
    Value,
)
from vmcoredd.cudbg.driver_state import DriverState, driver_state
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Cell, Io, Op, Read, Write


class Record(LittleStruct):
    """struct cudbg_mps_tcam. A flag is its bit in the register, or 0."""

    _fields_ = (
        ("mask", u64),
        ("rplc", u32 * REPLICATION_WORDS),
        ("idx", u32),
        ("cls_lo", u32),
        ("cls_hi", u32),
        ("rplc_size", u32),
        ("vniy", u32),
        ("vnix", u32),
        ("dip_hit", u32),
        ("vlan_vld", u32),
        ("repli", u32),
        ("ivlan", u16),
        ("addr", u8 * 6),
        ("lookup_type", u8),
        ("port_num", u8),
        ("reserved", u8 * 2),
    )


_LOW_WORDS = 4
"""Words of a replication map that are always stored (CUDBG_MAX_RPLC_SIZE)."""
OUTER, EITHER = 0, 3
"""Types of lookup without a VNI. The first matches the outer header; all others, also the second,
are inner ones to debugfs (mps_tcam_show())."""
_ASKED = range(0, 32 * REPLICATION_WORDS, 32)
"""The first virtual function of each word of a map that the firmware returned."""


@entity(57, "MPS_TCAM")
class MpsTcam(Entity):
    """MAC addresses and the functions they belong to (cudbg_collect_mps_tcam() of a driver that
    cannot ask the firmware).

    An entry whose X and Y share a bit matches nothing: it is unused, and its record stays nearly
    empty. The driver reads the replication registers without selecting an entry, so all entries
    that replicate show the same map. On a T6 it reads the lower four words at their T5 addresses:
    the functions that it stores as 0 to 63 are the chip's 64 to 127.
    """

    momentary = Kind.WORK
    entry_bytes = sizeof(Record)
    all_zero = (
        "EMPTY: None of {count} entries is in use. A T5 that does not answer leaves the same bytes."
    )
    layouts = (Record,)
    raw_bytes = 45056
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(chip.mps.tcam_entries * sizeof(Record))
        if chip.mps.tcam_by_request:
            used = _by_request(io, chip, area)
        else:
            used = _by_address(io, chip, area)
        records = [Record.from_buffer(area, idx * sizeof(Record)) for idx in used]
        _classification(io, chip, used, records, ctx)

    explained_by = ("TID_INFO",)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        size = chip.mps.tcam_entries * sizeof(Record)
        data, state = self.need(blob, size), driver_state(others)
        firsts = _ASKED if state.asked else chip.mps.replication_read_from
        mark = "" if state.asked else f" {_DOUBTFUL}"
        rows = Lazy(lambda: (_row(record, chip, firsts, mark) for record in _used(data)))
        used = sum(1 for _ in _used(data))
        silent = sum(1 for record in _records(data) if is_silent(record))
        counts = [Item("used", used, form="d")]
        ones = sum(1 for record in _records(data) if _is_of_ones(record))
        doubt = f"{ones:,} of them as if the adapter had not answered" if ones else ""
        counts.append(Item("unused", chip.mps.tcam_entries - used - silent, doubt, "d"))
        table = Table("MAC addresses", _columns(chip), rows)
        parts: list[Part] = [Fields("entries", counts)]
        if used == chip.mps.tcam_entries and all(map(_is_zero, _used(data))):
            parts.insert(0, Text(ALL_REGISTERS_ZERO, ["All entries have address 0 and mask 0."]))
        parts.append(Text("", _of_replication(chip, state)))
        return Decoded([*parts, table])


# Collecting


def _store(area: memoryview, xs: Sequence[int], ys: Sequence[int]) -> list[int]:
    """Stores the masks and addresses of used entries, and returns their indices
    (cudbg_tcamxy2valmask())."""
    used = [idx for idx, (x, y) in enumerate(zip(xs, ys, strict=True)) if not x & y]
    for idx in used:
        record = Record.from_buffer(area, idx * sizeof(Record))
        record.mask = xs[idx] | ys[idx]
        record.addr = ys[idx].to_bytes(8, "big")[2:]
    return used


def _by_address(io: Io, chip: Chip, area: memoryview) -> list[int]:
    """Returns the used entries of a TCAM in plain memory: Y and X in turn, 64 bits each."""
    words = u64s(io.read_run(chip.r.MPS_CLS_TCAM_Y_L, 2 * chip.mps.tcam_entries, width=8))
    return _store(area, words[1::2], words[::2])


def _by_request(io: Io, chip: Chip, area: memoryview) -> list[int]:
    """Returns the used entries of a TCAM behind a control register: three words of Y, then of X."""
    r, control = chip.r, chip.r.MPS_CLS_TCAM_DATA2_CTL
    answer = [Read(r[f"MPS_CLS_TCAM_RDATA{i}_REQ_ID1"]) for i in (1, 0, 2)]
    x_bit = control.of(CtlXYBitSel=1)
    ops: list[Op] = [Write(control, Cell()), *answer, Write(control, Cell(plus=x_bit)), *answer]
    words = u32s(io.run(ops, _requests(chip)))
    y1, y0, y2, x1, x0, x2 = (words[i::6] for i in range(6))
    _store_lookups(chip, area, (y1, y2), (x1, x2))
    high = r.MPS_CLS_TCAM_RDATA1_REQ_ID1.field("DMACH")
    xs = [high.get(data1) << 32 | data0 for data1, data0 in zip(x1, x0, strict=True)]
    ys = [high.get(data1) << 32 | data0 for data1, data0 in zip(y1, y0, strict=True)]
    return _store(area, xs, ys)


def _requests(chip: Chip) -> list[int]:
    control = chip.r.MPS_CLS_TCAM_DATA2_CTL
    index, entries = control.field("CtlTcamIndex"), range(chip.mps.tcam_entries)
    first = range(0, len(entries), chip.mps.entries_per_tcam)
    tcams = [control.of(CtlReqID=1, CtlTcamSel=number) for number in range(len(first))]
    return [
        tcam | index.put(idx - start)
        for tcam, start in zip(tcams, first, strict=True)
        for idx in entries[start : start + chip.mps.entries_per_tcam]
    ]


_Lookups = tuple[Sequence[int], Sequence[int]]
"""Words 1 and 2 of each entry's Y or X, with the other criteria of a match."""


def _store_lookups(chip: Chip, area: memoryview, y: _Lookups, x: _Lookups) -> None:
    """Stores the members that used and unused entries share."""
    data1, data2 = chip.r.MPS_CLS_TCAM_RDATA1_REQ_ID1, chip.r.MPS_CLS_TCAM_RDATA2_REQ_ID1
    kinds, vlan = data2.field("DataLkpType").get_each(y[1]), data1.field("VIDL")
    valid, hit = data2.mask("DataVIDH2"), data2.mask("DataDipHit")
    high = data2.mask("DataVIDH2", "DataVIDH1")
    column(area, Record, "lookup_type")[:] = bytes(kinds)
    column(area, Record, "port_num")[:] = bytes(data2.field("DataPortNum").get_each(y[1]))
    vlan_valid, vlans = column(area, Record, "vlan_vld"), column(area, Record, "ivlan")
    for idx, kind in enumerate(kinds):
        y1, y2 = y[0][idx], y[1][idx]
        if kind in (OUTER, EITHER):
            vlan_valid[idx], vlans[idx] = y2 & valid, vlan.get(y1)
            continue
        record = Record.from_buffer(area, idx * sizeof(Record))
        record.vniy = (y2 & high) << 16 | vlan.get(y1)
        record.vnix = (x[1][idx] & high) << 16 | vlan.get(x[0][idx])
        record.dip_hit = y2 & hit


def _classification(
    io: Io, chip: Chip, used: Sequence[int], records: Sequence[Record], ctx: Context
) -> None:
    """Reads the actions for matching packets."""
    sram = chip.r.MPS_CLS_SRAM_L
    rows = [sram[idx] for idx in used]
    words = u32s(io.run([Read(Cell(), count=2)], rows))
    replicating = []
    for i, (idx, record) in enumerate(zip(used, records, strict=True)):
        record.idx, record.rplc_size = idx, chip.mps.replication_vfs
        record.cls_lo, record.cls_hi = words[2 * i : 2 * i + 2]
        record.repli = record.cls_lo & sram.mask("Replicate")
        if record.repli:
            replicating.append(record)
    if ctx.device.attached:
        replicating = [record for record in replicating if not _asked_for(chip, ctx, record)]
    _replication(io, chip, replicating)


def _asked_for(chip: Chip, ctx: Context, record: Record) -> bool:
    """Has the firmware tell an entry's replication map; returns False if it refuses."""
    found = replication(ctx, record.idx)
    if found is not None:
        kept = _kept_words(chip)
        record.rplc[:kept] = found[:kept]
    return found is not None


def _replication(io: Io, chip: Chip, records: Sequence[Record]) -> None:
    """Reads the replication map once per entry, highest word first."""
    reads = [Read(chip.r[name]) for name in chip.mps.replication_reads]
    words = u32s(io.run(reads, len(records)))
    kept = _kept_words(chip)
    for i, record in enumerate(records):
        lowest_first = words[len(reads) * i : len(reads) * (i + 1)][::-1]
        record.rplc[:kept] = lowest_first[:kept]


def _kept_words(chip: Chip) -> int:
    """Returns the words of a map that are stored."""
    return REPLICATION_WORDS if chip.mps.replication_vfs > 32 * _LOW_WORDS else _LOW_WORDS


# Decoding


_DOUBTFUL = "(?)"
"""Marks the functions that a map says, if it may be another entry's."""
_ONES = (U32_MASK, U32_MASK)


def _records(data: memoryview) -> Iterator[Record]:
    for at in range(0, len(data), sizeof(Record)):
        yield Record.from_bytes(data[at : at + sizeof(Record)])


def _is_zero(record: Record) -> bool:
    return not record.mask and not any(record.addr) and not record.cls_lo | record.cls_hi


def _is_of_ones(record: Record) -> bool:
    """Returns whether it is what the driver makes of a T6's entry that reads as all ones."""
    return not record.rplc_size and (record.lookup_type, record.ivlan) == (EITHER, U16_MASK)


def _used(data: memoryview) -> Iterator[Record]:
    return (record for record in _records(data) if record.rplc_size and not is_silent(record))


def _columns(chip: Chip) -> list[Column]:
    columns = [Column("entry", "d"), Column("address"), Column("mask", "x12"), Column("valid")]
    columns += [
        Column("ports", "x"),
        Column("PF", "d"),
        Column("VF", "d"),
        Column("replicated to VFs"),
    ]
    columns += [Column("priorities"), Column("multi-listen", "x")]
    if chip.mps.tcam_by_request:
        columns += [Column("lookup"), Column("port", "d"), Column("VLAN", "d")]
        columns += [Column("VNI", "x6"), Column("VNI mask", "x6"), Column("inner IP hit")]
    return columns


def _row(record: Record, chip: Chip, firsts: Sequence[int | None], mark: str) -> list[Value]:
    address = ":".join(f"{byte:02x}" for byte in record.addr)
    row: list[Value] = [record.idx, address, record.mask]
    row += _classified(record, chip, firsts, mark)
    return row + (_lookup(record) if chip.mps.tcam_by_request else [])


def _classified(record: Record, chip: Chip, firsts: Sequence[int | None], mark: str) -> list[Value]:
    """Returns the cells of what is done with matching packets; if it was not read, none."""
    if (record.cls_lo, record.cls_hi) == _ONES:
        return [None, None, None, None, "not read", "", None]
    sram = chip.r.MPS_CLS_SRAM_L.decode(record.cls_lo)
    ports = chip.r.MPS_CLS_SRAM_H.get(record.cls_hi, "PortMap")
    function = [sram["PF"], sram["VF"] if sram["VF_Valid"] else None]
    priorities = " ".join(str(sram[f"Priority{i}"]) for i in range(4))
    listen = sum(sram[f"MultiListen{i}"] << i for i in range(4))
    functions = _functions(record, firsts) + mark if record.repli else ""
    return [bool(sram["Valid"]), ports, *function, functions, priorities, listen]


def _lookup(record: Record) -> list[Value]:
    has_vni = record.lookup_type not in (OUTER, EITHER)
    vlan = record.ivlan if record.vlan_vld else None
    mask = record.vnix | record.vniy
    tunnel = [record.vniy, mask, bool(record.dip_hit)] if has_vni else [None, None, None]
    kind = "inner" if record.lookup_type != OUTER else "outer"
    return [kind, record.port_num, vlan, *tunnel]


def _of_replication(chip: Chip, state: DriverState) -> Iterator[str]:
    """Yields what cannot be known of replication, unless the firmware returned it."""
    if state.asked:
        yield "TID_INFO tells that the driver asked the firmware: maps are taken for its answers."
        yield "Where it refused one, the driver read registers instead, and the dump does not"
        yield "tell: such a map may be another entry's" + (
            ", 64 VFs higher." if _lacking(chip) else "."
        )
        return
    if state.asked is None:
        yield "Whether the driver asked the firmware is not known without TID_INFO. If it did not:"
    yield f"{_DOUBTFUL} The driver read the map of replication without selecting an entry:"
    yield "it may be another's."
    if lacking := _lacking(chip):
        yield f"Its offsets are a T5's: VFs {lacking[0]} to {lacking[-1] + 31} are not in the dump."


def _lacking(chip: Chip) -> list[int]:
    """Returns the first virtual function of each word that is not read without the firmware."""
    known = {first for first in chip.mps.replication_read_from if first is not None}
    return [first for first in range(0, chip.mps.replication_vfs, 32) if first not in known]


def _functions(record: Record, firsts: Sequence[int | None]) -> str:
    """Returns the virtual functions of a map, whose words begin with `firsts`: `0-3 8`."""
    words = zip(record.rplc, firsts, strict=True)
    bits = sum(word << first for word, first in words if first is not None)
    spans: list[list[int]] = []
    for function in (i for i in range(32 * REPLICATION_WORDS) if bits >> i & 1):
        if spans and spans[-1][1] == function - 1:
            spans[-1][1] = function
        else:
            spans.append([function, function])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
