"""Records, as `ring.h` lays them out, with the bytes that follow them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from vmcoredd.plural import counted
from vmcoredd.trace._cffi import ffi, lib
from vmcoredd.trace.errors import TraceFormatError

_LAYOUT = [
    (name, field.type.cname, field.offset)
    for name, field in ffi.typeof("struct trace_record").fields
]
_CODES = {"uint8_t": ("B", "|u1"), "uint32_t": ("I", "<u4"), "uint64_t": ("Q", "<u8")}
RECORD = struct.Struct("<" + "".join(_CODES[kind][0] for _, kind, _ in _LAYOUT))
"""A record, without gaps."""
RECORD_BYTES = RECORD.size
COLUMNS = [(name, _CODES[kind][1]) for name, kind, _ in _LAYOUT]
"""The columns of an array of records: name, and type as NumPy writes it."""
_DATA = struct.Struct("<B3xI")
DATA_BYTES: int = lib.TRACE_DATA_BYTES
VALUE_BYTES = 8
"""Of an access that needs no further bytes."""
CARRIED_MOST = 1 << 24
"""Bytes that a record may carry: more than any access has."""


class Kind(IntEnum):
    """`enum trace_kind` of ring.h."""

    DATA = lib.TRACE_DATA
    READ = lib.TRACE_READ
    WRITE = lib.TRACE_WRITE
    DOORBELL = lib.TRACE_DOORBELL
    GTS = lib.TRACE_GTS
    DMA_READ = lib.TRACE_DMA_READ
    DMA_WRITE = lib.TRACE_DMA_WRITE
    INTERRUPT = lib.TRACE_INTERRUPT
    FRAME_SENT = lib.TRACE_FRAME_SENT
    FRAME_RECEIVED = lib.TRACE_FRAME_RECEIVED
    TROUBLE = lib.TRACE_TROUBLE
    RESET = lib.TRACE_RESET
    ATTACHED = lib.TRACE_ATTACHED
    DETACHED = lib.TRACE_DETACHED
    FAULT = lib.TRACE_FAULT
    CONTROL = lib.TRACE_CONTROL
    LOST = lib.TRACE_LOST
    MAPPED = lib.TRACE_MAPPED
    UNMAPPED = lib.TRACE_UNMAPPED


class Source(IntEnum):
    """`enum trace_source` of ring.h: who did it."""

    DRIVER = lib.TRACE_DRIVER
    CLIENT = lib.TRACE_CLIENT
    FIRMWARE = lib.TRACE_FIRMWARE
    ENGINE = lib.TRACE_ENGINE
    USER = lib.TRACE_USER
    RECORDER = lib.TRACE_RECORDER


UNDONE = " undone"
"""What follows the name of a fault in a FAULT record when it is switched off."""
ACCESSES = (Kind.READ, Kind.WRITE)
CONFIG_SPACE: int = lib.TRACE_CONFIG_SPACE
MALFORMED: int = lib.TRACE_MALFORMED
WINDOW: int = lib.TRACE_WINDOW
WRITABLE: int = lib.TRACE_WRITABLE
DMA_CARRIED: int = lib.TRACE_DMA_CARRIED
INTERRUPTS = {lib.TRACE_MSIX: "MSI-X", lib.TRACE_MSI: "MSI", lib.TRACE_INTX: "INTx"}
"""The kinds of interrupt: `space` of an INTERRUPT record."""


class Record(NamedTuple):
    """`struct trace_record` of ring.h, which says what each field means, and the `data` that it
    carries."""

    kind: int
    source: int
    space: int
    error: int
    length: int
    carried: int
    detail: int
    time: int
    address: int
    value: int
    before: int
    after: int
    spent: int
    data: bytes = b""

    @property
    def counted(self) -> bool:
        """Whether the card counts the access (`Card.accesses`)."""
        return self.kind in ACCESSES and self.space == 0 and not self.detail & MALFORMED

    @property
    def has_value(self) -> bool:
        """Whether `value` has all that was written or read."""
        return self.kind in ACCESSES and not self.carried and self.length <= VALUE_BYTES

    @property
    def content(self) -> bytes:
        """What was written or read: `length` bytes, of a DMA or a frame the first ones."""
        if not self.has_value:
            return self.data
        return self.value.to_bytes(VALUE_BYTES, "little")[: self.length]

    def packed(self) -> bytes:
        """Returns the record as it stands in a trace, with those of its data."""
        parts = [RECORD.pack(*self[:-1])]
        for at in range(0, self.carried, DATA_BYTES):
            part = self.data[at : at + DATA_BYTES]
            parts.append((_DATA.pack(Kind.DATA, len(part)) + part).ljust(RECORD_BYTES, b"\0"))
        return b"".join(parts)


def lost_record(now: int, lost: int) -> Record:
    """Returns the record that tells of lost events, at `now` ns of the monotonic clock."""
    empty = dict.fromkeys(Record._fields[:-1], 0)
    told = {"kind": int(Kind.LOST), "source": int(Source.RECORDER), "time": now, "value": lost}
    return Record._make((*(empty | told).values(), b""))


class Counts(NamedTuple):
    """Accesses to BAR0 by size, as `Card.accesses` counts them."""

    read4: int = 0
    read8: int = 0
    read_runs: int = 0
    read_run_words: int = 0
    write4: int = 0
    write8: int = 0
    write_runs: int = 0
    write_run_words: int = 0


def count(records: Iterable[Record]) -> Counts:
    """Counts the accesses to BAR0 among the records."""
    found = dict.fromkeys(Counts._fields, 0)
    for record in records:
        if not record.counted:
            continue
        verb = "read" if record.kind == Kind.READ else "write"
        if record.length in (4, 8):
            found[f"{verb}{record.length}"] += 1
        else:
            found[f"{verb}_runs"] += 1
            found[f"{verb}_run_words"] += record.length // 4
    return Counts(**found)


class Assembler:
    """Joins records with the data that follow them, whatever pieces a trace comes in."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def unfinished(self) -> bool:
        """Whether the last record lacks data."""
        return bool(self._rest)

    def add(self, piece: bytes) -> Iterator[Record]:
        """Yields what is complete with this piece, whole records of RECORD_BYTES each.

        Raises TraceFormatError for a kind that is not known, and for data out of place.
        """
        content, at = self._rest + piece, 0
        unpack, end = RECORD.unpack_from, len(content)
        while at < end:
            values = unpack(content, at)
            data, size = b"", RECORD_BYTES
            if not Kind.DATA < values[0] <= _LAST_KIND:
                raise TraceFormatError(f"a record of kind {values[0]}")
            if carried := values[_CARRIED]:
                size += _slots(carried) * RECORD_BYTES
                if at + size > end:
                    break
                data = _data(content[at + RECORD_BYTES : at + size], carried)
            yield Record._make((*values, data))
            at += size
        self._rest = content[at:]


_LAST_KIND = max(Kind)
_CARRIED = Record._fields.index("carried")


def _slots(carried: int) -> int:
    """Returns how many records the data take. Raises TraceFormatError if there are too many."""
    if carried > CARRIED_MOST:
        raise TraceFormatError(f"a record that carries {counted(carried, 'byte')}")
    return -(-carried // DATA_BYTES)


def _data(records: bytes, carried: int) -> bytes:
    """Returns the bytes in data records."""
    parts = []
    for at in range(0, len(records), RECORD_BYTES):
        if records[at] != Kind.DATA:
            raise TraceFormatError("a record whose data are missing")
        parts.append(records[at + _DATA.size : at + RECORD_BYTES])
    return b"".join(parts)[:carried]
