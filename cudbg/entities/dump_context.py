"""DUMP_CONTEXT: the scatter-gather engine's context of each queue in use."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, LittleStruct, sizeof, u32
from vmcoredd.chip.memory import REGIONS, MemoryId
from vmcoredd.chip.momentary import Kind
from vmcoredd.chip.sge import (
    BACK_DOOR_QUEUES,
    CONTEXT_BYTES,
    CONTEXT_WORDS,
    FREE_LIST_BIT,
    MAX_FREE_LISTS,
    VALID_BIT,
    ContextType,
)
from vmcoredd.cudbg.asking import context_words, flush_contexts
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Text, Value
from vmcoredd.cudbg.driver_state import EXPLAINED_BY, DriverState, driver_state
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.cudbg.meminfo import read_meminfo
from vmcoredd.cudbg.memory_map import Meminfo, Span, memory_of, span_of
from vmcoredd.cudbg.queue_contexts import QueueState, StatusPage
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.indirect import run_rows
from vmcoredd.hw.io import Cell, Io, Op, Poll, Put, Read, Write
from vmcoredd.hw.window import Window
from vmcoredd.plural import exact


class Record(LittleStruct):
    """struct cudbg_ch_cntxt."""

    _fields_ = (("cntxt_type", u32), ("cntxt_id", u32), ("data", u32 * CONTEXT_WORDS))


_RECORD = sizeof(Record)
_HEAD = struct.Struct("<II")
"""Type and number of a context, before its data."""
_NO_DATA = bytes(_RECORD - _HEAD.size)
_ONES = b"\xff" * WORD_BYTES
"""The last word of a context that was not read to its end: no field reaches its end."""
_KIND_AND_DATA = struct.Struct(f"<I4x{len(_NO_DATA)}s")
_SOME = 1024 * _RECORD
"""Bytes that are searched for contexts at once."""


@entity(56, "DUMP_CONTEXT")
class DumpContext(Entity):
    """The scatter-gather engine's contexts of queues in use (cudbg_collect_dump_context()).

    The size follows from the context regions in memory. A driver that can ask the firmware reads
    these regions and every free list. One that cannot reads 256 egress contexts, 256 ingress
    contexts and every free list through the command register, and skips a context without an error
    if that stays busy. If the context read last is invalid, its data remain after the last record.
    """

    momentary = Kind.WORK
    entry_bytes, entry_reads = _RECORD, _RECORD - WORD_BYTES
    all_zero = (
        "EMPTY: None of {count} contexts is in use. If the adapter does not answer, none is "
        "read either."
    )
    layouts = (Record,)
    raw_bytes = None
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        _sizes(io, chip)
        sizes = _sizes(io, chip)  # the kernel computes them twice
        size = sizeof(Record) * sum(sizes) & U32_MASK
        if size == 0 or size >> 31:
            raise Status(Code.ENTITY_NOT_FOUND)
        area = ctx.area(size)
        free_lists = sizes[-1]
        if ctx.device.attached:
            queues = _asked_for(io, chip, ctx)
            lists = _ask_for_free_lists(io, chip, ctx, free_lists)
        else:
            queues = [*_back_door(io, chip, ContextType.EGRESS)]
            queues += _back_door(io, chip, ContextType.INGRESS)
            lists = _read_free_lists(io, chip, free_lists)
        _store([*queues, *lists], area)

    explained_by = (*EXPLAINED_BY, "REG_DUMP")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        self.need_records(blob, _RECORD)
        page = StatusPage.of(others.get("REG_DUMP"), chip)
        caveats = Text("how to read these tables", _caveats(driver_state(others), page))
        tables = [_table(kind, chip, blob, page) for kind in ContextType]
        rows = Lazy(lambda: _every_field(chip, blob))
        return Decoded([caveats, *tables, Table("every field", _FIELD_COLUMNS, rows)])


# Collecting

_Read = tuple[memoryview, bool]
"""A record, and whether it is valid. It has no data if the command register stayed busy."""


def _sizes(io: Io, chip: Chip) -> tuple[int, int, int]:
    """Returns the number of egress, ingress and free list contexts that the regions can hold
    (cudbg_get_ctxt_region_info(), cudbg_dump_context_size())."""
    meminfo = Meminfo()
    read_meminfo(io, chip, meminfo)
    flm_config = io.read(chip.r.SGE_FLM_CFG)
    egress, ingress = (_room(meminfo, chip, region.name) for region in REGIONS[:2])
    free_lists = MAX_FREE_LISTS >> chip.r.SGE_FLM_CFG.get(flm_config, "HdrStartFLQ")
    return egress, ingress, free_lists


def _room(meminfo: Meminfo, chip: Chip, region: str) -> int:
    """Returns how many contexts fit the first memory's part of the region, or else a default."""
    if found := _where(meminfo, chip, region):
        return (found[1].end - found[1].start + 1 & U32_MASK) // CONTEXT_BYTES
    return BACK_DOOR_QUEUES * CONTEXT_BYTES


def _where(meminfo: Meminfo, chip: Chip, region: str) -> tuple[MemoryId, Span] | None:
    """Returns the first memory that has a part of the region, and the part."""
    for memory in (MemoryId.EDC0, MemoryId.EDC1, MemoryId.MC0, MemoryId.MC1):
        with suppress(Status):  # an absent memory
            if span := span_of(meminfo, memory_of(meminfo, chip, memory), region):
                return memory, span
    return None


def _asked_for(io: Io, chip: Chip, ctx: Context) -> list[_Read]:
    """Reads all egress and ingress contexts from memory, once the firmware has had them written
    there; through the command register where that fails."""
    meminfo = Meminfo()
    read_meminfo(io, chip, meminfo)
    found: list[_Read] = []
    for kind, region in zip((ContextType.EGRESS, ContextType.INGRESS), REGIONS, strict=False):
        place = _where(meminfo, chip, region.name)
        if place is None:
            found += _back_door(io, chip, kind)
            continue
        memory, span = place
        flush_contexts(ctx, kind)
        data = memoryview(bytearray(span.end - span.start + 1))
        try:
            Window(io, chip, ctx.device).read(memory, span.start, data, width=4)
        except DeadDevice:
            raise
        except DeviceError:
            found += _back_door(io, chip, kind)
            continue
        found += _in_memory(kind, data)
    return found


def _in_memory(kind: ContextType, data: memoryview) -> list[_Read]:
    """Returns the contexts in a region, where each is three 64-bit words, the highest byte first
    in the record."""
    count = len(data) // CONTEXT_BYTES
    words = struct.unpack_from(f"<{CONTEXT_BYTES // 8 * count}Q", data)
    swapped = memoryview(struct.pack(f">{len(words)}Q", *words))
    contexts = (swapped[at : at + CONTEXT_BYTES] for at in range(0, len(swapped), CONTEXT_BYTES))
    made = [memoryview(_HEAD.pack(kind, queue) + one) for queue, one in enumerate(contexts)]
    return [(one, _valid(kind, one)[0]) for one in made]


def _ask_for_free_lists(io: Io, chip: Chip, ctx: Context, count: int) -> list[_Read]:
    """Has the firmware read each free list, and the congestion context of each valid one."""
    found: list[_Read] = []
    for queue in range(count):
        found.append(_ask(io, chip, ctx, ContextType.FLM, queue))
        if found[-1][1]:
            found.append(_ask(io, chip, ctx, ContextType.CNM, queue))
    return found


def _ask(io: Io, chip: Chip, ctx: Context, kind: ContextType, queue: int) -> _Read:
    words = context_words(ctx, kind, queue)
    if words is None:
        return _read(io, chip, kind, [queue])[0]
    record = memoryview(_HEAD.pack(kind, queue) + words)
    return record, _valid(kind, record)[0]


def _back_door(io: Io, chip: Chip, kind: ContextType) -> list[_Read]:
    """Reads the contexts that a driver reads without the firmware."""
    return _read(io, chip, kind, range(BACK_DOOR_QUEUES))


def _read(io: Io, chip: Chip, kind: ContextType, queues: Sequence[int]) -> list[_Read]:
    """Reads contexts through the command register, in order (t4_sge_ctxt_rd_bd() for each)."""
    command = chip.r.SGE_CTXT_CMD
    ops: list[Op] = [
        Write(command, Cell(plus=command.of(CtxtType=kind))),
        Poll(command, command.mask("Busy"), 0, attempts=3, delay_us=1),
        *(Put(kind), Put(Cell())),
        Read(chip.r.SGE_CTXT_DATA0, count=CONTEXT_WORDS),
    ]
    found: list[_Read] = []
    while len(found) < len(queues):
        rest = queues[len(found) :]
        data = memoryview(bytearray(_RECORD * len(rest)))
        busy = run_rows(io, ops, rest, data)
        read = [data[at : at + _RECORD] for at in range(0, _RECORD * busy, _RECORD)]
        found += zip(read, _valid(kind, data[: _RECORD * busy]), strict=True)
        found += [(memoryview(_HEAD.pack(kind, queue)), False) for queue in rest[busy : busy + 1]]
    return found


def _read_free_lists(io: Io, chip: Chip, count: int) -> list[_Read]:
    """Reads free lists, each valid one followed by its congestion context.

    Congestion contexts are read second, because only valid lists need one. The last list is read
    last, which leaves the registers as if each list had been read in turn.
    """
    lists = _read_some_free_lists(io, chip, range(count - 1))
    return lists + _read_some_free_lists(io, chip, range(count - 1, count))


def _read_some_free_lists(io: Io, chip: Chip, queues: range) -> list[_Read]:
    lists = _read(io, chip, ContextType.FLM, queues)
    used = [queue for queue, (_, valid) in zip(queues, lists, strict=True) if valid]
    congestion = iter(_read(io, chip, ContextType.CNM, used))
    both = ([one, next(congestion)] if one[1] else [one] for one in lists)
    return list(chain.from_iterable(both))


def _valid(kind: int, records: memoryview) -> list[bool]:
    """Returns for each record whether its data belong to a context in use. Congestion contexts have
    no valid bit; they are read for valid free lists only."""
    if kind == ContextType.CNM:
        return [True] * (len(records) // _RECORD)
    byte, bit = divmod(VALID_BIT[ContextType(kind)], 8)
    return [bool(mark >> bit & 1) for mark in records[Record.data.offset + byte :: _RECORD]]


def _store(contexts: Iterable[_Read], area: memoryview) -> None:
    """Stores contexts as the kernel does. It reads each one into the next record, and keeps the
    record if its content is valid, even if an earlier context left it there because the register
    stayed busy."""
    at, invalid = 0, area[:0]  # the data in the next record so far
    for context, valid in contexts:
        if at == len(area):
            return
        if not valid and len(context) == _RECORD:
            invalid = context[_HEAD.size :]
            continue
        record = area[at : at + _RECORD]
        record[_HEAD.size : _HEAD.size + len(invalid)] = invalid
        if valid or all(_valid(context[0], record)):
            record[: len(context)] = context
            at, invalid = at + _RECORD, area[:0]
    rest = area[at + _HEAD.size : at + _RECORD]
    rest[: len(invalid)] = invalid[: len(rest)]


# Decoding

_KINDS = {
    ContextType.EGRESS: "egress",
    ContextType.INGRESS: "ingress",
    ContextType.FLM: "free list",
    ContextType.CNM: "congestion",
}
_SHOWN: dict[ContextType, tuple[str, ...]] = {
    ContextType.EGRESS: ("PCIeDataChannel", "BaseAddress", "QueueSize", "PIDX", "CIDX", "FID"),
    ContextType.INGRESS: (
        *("PCIeChannel", "BaseAddress", "QueueSize", "QueueEntrySize", "PIDX", "CIDX"),
        *("Generation", "InterruptIDX", "InterruptArmed"),
    ),
    ContextType.FLM: ("EQid", "PIDX", "CIDX", "PackOffset", "PackEn", "PadEn", "SplitEn"),
    ContextType.CNM: ("CngTPMode", "CngChMap"),
}
_HEX = ("BaseAddress", "CngChMap")
_CALLED = {"PCIeDataChannel": "channel", "PCIeChannel": "channel"}
"""Fields whose columns have another name."""
_FIELD_COLUMNS = (
    Column("context"),
    Column("queue", "d"),
    Column("field"),
    Column("value", "x"),
    Column("meaning"),
)


def _caveats(state: DriverState, page: StatusPage) -> list[str]:
    """Says which queues were read, and what a ring's size rests on."""
    least = f"0 to {BACK_DOOR_QUEUES - 1}"
    lines = {
        False: (
            f"The driver did not ask the firmware: it read egress and ingress queues {least} only.",
            "Queues above are not in the dump, whether they are in use or not.",
        ),
        True: (
            "The driver asked the firmware: all queues are here if it could read their memory,",
            f"else egress and ingress queues {least} only. The dump does not tell which.",
        ),
        None: (
            f"If the driver did not ask the firmware, it read queues {least} only: without",
            "TID_INFO that is not known.",
        ),
    }[state.asked]
    return [
        *lines,
        "ring: what indices go around: QueueSize without the status page at the end",
        f"({page.meaning}), of ingress queues without the last entry.",
        "full: a ring takes one less than its size.",
    ]


def _records(blob: Bytes) -> Iterator[Record]:
    """Yields the records that hold a context; leftovers after the last one are skipped."""
    for start in range(0, len(blob), _SOME):
        some = memoryview(blob[start : start + _SOME])
        for i, (kind, data) in enumerate(_KIND_AND_DATA.iter_unpack(some)):
            if kind in _KINDS and data != _NO_DATA and not data.endswith(_ONES):
                record = some[_RECORD * i : _RECORD * (i + 1)]
                if all(_valid(kind, record)):
                    yield Record.from_bytes(record)


def _table(kind: ContextType, chip: Chip, blob: Bytes, page: StatusPage) -> Table:
    columns = [Column("queue", "d"), Column("kind")]
    columns += [
        Column(_CALLED.get(name, name), "x" if name in _HEX else "d") for name in _SHOWN[kind]
    ]
    if "QueueSize" in _SHOWN[kind]:
        columns += [Column("ring", "d"), Column("pending", "d"), Column("remark")]

    def rows() -> Iterator[list[Value]]:
        for record in _records(blob):
            if record.cntxt_type == kind:
                scaled = {name: value for name, _, value, _ in _decoded(chip, record)}
                shown = "free list" if scaled.get("QueueType") else _KINDS[kind]
                named = [scaled[name] for name in _SHOWN[kind]]
                yield [record.cntxt_id, shown, *named, *_filling(kind, scaled, page)]

    return Table(f"{_KINDS[kind]} contexts", columns, Lazy(rows))


def _filling(kind: ContextType, context: Mapping[str, int], page: StatusPage) -> list[Value]:
    """Returns the size of a ring, how many of its entries the reader has not consumed, and whether
    it is full; none for a context without a size, None where an index is outside of the ring."""
    if "QueueSize" not in context:
        return []
    ring = page.ring(kind, context["QueueSize"])
    waiting = QueueState(context["PIDX"], context["CIDX"], ring).waiting
    if waiting is None:
        return [max(ring, 0), None, "index outside of the ring"]
    return [ring, len(waiting), "full" if len(waiting) == ring - 1 else ""]


def _every_field(chip: Chip, blob: Bytes) -> Iterator[list[Value]]:
    for record in _records(blob):
        kind = _KINDS[ContextType(record.cntxt_type)]
        for name, value, scaled, unit in _decoded(chip, record):
            yield [kind, record.cntxt_id, name, value, _meaning(scaled, unit)]


def _meaning(scaled: int, unit: str) -> str:
    if unit == "address":
        return f"{scaled:#x}"
    return exact(scaled, unit) if unit else ""


def _decoded(chip: Chip, record: Record) -> Iterator[tuple[str, int, int, str]]:
    """Yields the name, value, scaled value and unit of every field."""
    kind, number = ContextType(record.cntxt_type), int.from_bytes(bytes(record.data), "little")
    free_list = bool(number >> FREE_LIST_BIT & 1)
    scales = chip.sge.context_units(kind, free_list=free_list)
    for field in chip.sge.context_fields(kind, free_list=free_list):
        value, unit = field.get(number), scales.get(field.name)
        yield field.name, value, unit.scaled(value) if unit else value, unit.name if unit else ""
