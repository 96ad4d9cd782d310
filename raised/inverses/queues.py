"""SGE, MPS and LE: contexts of queues, MAC addresses, the lookup engine's table."""

from __future__ import annotations

from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, sizeof
from vmcoredd.chip.le import RESPONSE_WORDS
from vmcoredd.chip.sge import CONTEXT_WORDS, MAX_FREE_LISTS, VALID_BIT, ContextType
from vmcoredd.cudbg.entities.dump_context import Record as ContextRecord
from vmcoredd.cudbg.entities.mps_tcam import EITHER, OUTER
from vmcoredd.cudbg.entities.mps_tcam import Record as MacRecord
from vmcoredd.cudbg.entities.sge_indirect import Layout as SgeLayout
from vmcoredd.cudbg.entities.sge_indirect import QueueBases
from vmcoredd.cudbg.le_table import Header, Record
from vmcoredd.emu.classifier import ENTRY_WORDS
from vmcoredd.emu.contexts import QUEUES
from vmcoredd.raised.raising import Raising, fitted, inverse
from vmcoredd.raised.reading import parsed

# SGE


@inverse("DUMP_CONTEXT")
def contexts(on: Raising, blob: bytes) -> None:
    """Stores each context in its row; all others are unused. What remains behind the last record
    is the data of the context that is read last."""
    size = sizeof(ContextRecord)
    for at in range(0, len(blob) - size + 1, size):
        record = ContextRecord.from_bytes(blob[at : at + size])
        kind, number, data = record.cntxt_type, record.cntxt_id, record.data
        if not kind and not number and not _is_valid(ContextType.EGRESS, data):
            last = _free_lists(on) - 1
            _store_context(on, ContextType.FLM, last, data)
            return
        if kind in ContextType._value2member_map_ and number < QUEUES:
            _store_context(on, kind, number, data)


def _store_context(on: Raising, kind: int, number: int, data: object) -> None:
    on.fill("sge_contexts", (kind * QUEUES + number) * CONTEXT_WORDS, data)  # type: ignore[arg-type]


def _is_valid(kind: ContextType, data: object) -> bool:
    number = sum(word << 32 * i for i, word in enumerate(data))  # type: ignore[var-annotated, arg-type]
    return bool(number >> VALID_BIT[kind] & 1)


def _free_lists(on: Raising) -> int:
    config = on.r.SGE_FLM_CFG
    return MAX_FREE_LISTS >> config.get(on.get(config), "HdrStartFLQ")


@inverse("SGE_INDIRECT")
def debug_words(on: Raising, blob: bytes) -> None:
    """Stores the debug words behind their index, and each function's queue bases."""
    layout = parsed(SgeLayout, blob)
    for name, record in zip(("sge_debug_high", "sge_debug_low"), layout.debug, strict=True):
        on.fill(name, 0, record.outbuf[: len(on.spaces.space(name).words)])
    if on.chip.sge.qbase_functions:
        first = SgeLayout.qbase.offset + QueueBases.pf_data_value.offset
        words = CONTEXT_BASES * on.chip.sge.qbase_functions
        on.copy("sge_qbase", 0, blob[first : first + WORD_BYTES * words])


CONTEXT_BASES = 4
"""Words of a function's queue bases."""


# MPS


@inverse("MPS_TCAM")
def macs(on: Raising, blob: bytes) -> None:
    """Stores the patterns and actions of the entries in use; the others match nothing."""
    size = sizeof(MacRecord)
    for index in range(min(on.chip.mps.tcam_entries, len(blob) // size)):
        record = MacRecord.from_bytes(blob[index * size : (index + 1) * size])
        _pattern(on, index, record)
        if record.rplc_size:
            on.set(on.r.MPS_CLS_SRAM_L, record.cls_lo, index)
            on.set(on.r.MPS_CLS_SRAM_H, record.cls_hi, index)
            if record.repli:
                _replication(on, record)


def _pattern(on: Raising, index: int, record: MacRecord) -> None:
    y = int.from_bytes(bytes(record.addr), "big") | record.mask & ~ADDRESS
    x = record.mask & ~y
    if not record.rplc_size:
        x = y = ADDRESS
    if not on.chip.mps.tcam_by_request:
        for half, pattern in (("Y", y), ("X", x)):
            low, high = (on.r[f"MPS_CLS_TCAM_{half}_{end}"] for end in "LH")
            on.set(low, pattern & U32_MASK, index)
            on.set(high, pattern >> 32, index)
        return
    words = [*_words(on, record, y, record.vniy), *_words(on, record, x, record.vnix)]
    on.fill("mps_tcam", 2 * ENTRY_WORDS * index, words)


ADDRESS = (1 << 48) - 1
"""The bits of an address; an entry whose patterns share some is unused."""


def _words(on: Raising, record: MacRecord, address: int, network: int) -> tuple[int, int, int]:
    """Returns a pattern as a request reads it, from what the collector makes of it."""
    data1, data2 = on.r.MPS_CLS_TCAM_RDATA1_REQ_ID1, on.r.MPS_CLS_TCAM_RDATA2_REQ_ID1
    vlan, second = network & 0xFFFF, network >> 16
    if record.lookup_type in (OUTER, EITHER):
        vlan, second = record.ivlan, record.vlan_vld
    second |= record.dip_hit
    for name, value in (("DataLkpType", record.lookup_type), ("DataPortNum", record.port_num)):
        field = data2.field(name)
        second = second & ~field.mask | fitted(field, value)
    vidl, dmach = data1.field("VIDL"), data1.field("DMACH")
    return address & U32_MASK, fitted(vidl, vlan) | fitted(dmach, address >> 32), second & U32_MASK


def _replication(on: Raising, record: MacRecord) -> None:
    """Stores the map in the registers that the collector reads for every entry."""
    for word, name in zip(record.rplc, on.chip.mps.replication_reads[::-1], strict=False):
        space, index = on.spaces.where(on.r[name])
        on.store(space.name, index, word)


# LE


@inverse("LE_TCAM")
def lookup_table(on: Raising, blob: bytes) -> None:
    """Stores statuses and entries. A list that ended early ends with a TID that is not valid."""
    size, header = sizeof(Record), parsed(Header, blob)
    records = blob[sizeof(Header) :]
    count = len(records) // size
    statuses, entries = on.spaces.space("le_status").words, on.spaces.space("le_entries")
    room = entries.words.cast("B")
    for at in range(0, count * size, size):
        record = Record.from_bytes(records[at : at + size])
        if not record.dbig_cmd:
            break
        if record.tid < len(statuses) and record.dbig_rsp_stat & 1:
            statuses[record.tid] = record.dbig_rsp_stat
            first = record.tid * RESPONSE_WORDS * WORD_BYTES
            room[first : first + RESPONSE_WORDS * WORD_BYTES] = bytes(record.data)
        elif not record.dbig_rsp_stat & 1 and header.max_tid < len(statuses):
            statuses[header.max_tid] = record.dbig_rsp_stat
