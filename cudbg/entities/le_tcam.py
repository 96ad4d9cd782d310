"""LE_TCAM: every entry of the lookup engine: connections, servers, filters, local addresses."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator, Sequence

from chip import Chip
from chip.layout import LittleStruct, sizeof, u32
from chip.le import LE_MODE, MAX_POLLS, READ_COMMAND, REQUEST_WORDS, RESPONSE_WORDS, Entry
from chip.lookup import FILTER_TUPLE, LookupEntry, clip_address
from cudbg import status
from cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Value
from cudbg.entity import Context, Entity, entity
from cudbg.errors import DeadDevice, DeviceError, FormatError
from cudbg.io import Check, Io, Op, Poll, Read, Write
from cudbg.io import Column as Cell


class Header(LittleStruct):
    """struct cudbg_tcam: where the regions begin, as the registers say."""

    _fields_ = (
        ("filter_start", u32),
        ("server_start", u32),
        ("clip_start", u32),
        ("routing_start", u32),
        ("tid_hash_base", u32),
        ("max_tid", u32),
    )


class Record(LittleStruct):
    """struct cudbg_tid_data."""

    _fields_ = (
        ("tid", u32),
        ("dbig_cmd", u32),
        ("dbig_conf", u32),
        ("dbig_rsp_stat", u32),
        ("data", u32 * RESPONSE_WORDS),
    )


_RECORD = sizeof(Record)
_RECORD_WORDS = _RECORD // 4
_READ_FROM = Record.dbig_rsp_stat.offset
_ANSWER = _RECORD - _READ_FROM
"""Bytes of a record that are read: status and data."""
_STATUS, _DATA = _READ_FROM // 4, _READ_FROM // 4 + 1
"""Their words in a record."""
_COMMAND = READ_COMMAND << 20  # DBGICMD
_PAIR = 2
"""TIDs of an IPv6 entry, outside of the CLIP TCAM."""
_IPV6 = 0x8000
_IPV6_IN_TCAM = 0x00C00000
"""What word 9 of a connection in the TCAM must be besides, for the driver to take it for IPv6:
the filter tuple of TCP (in the default filter mode)."""


@entity(59, "LE_TCAM")
class LeTcam(Entity):
    """cudbg_collect_le_tcam(). A TID that cannot be read ends the list; that is a warning only.

    Of more than 49,568 TIDs the kernel's compression overwrites the last ones; here they are whole.
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        header = _read_header(io, chip)
        area = ctx.area(sizeof(Header) + _RECORD * header.max_tid)
        records = area[sizeof(Header) :]
        end = _Table(io, chip, header).collect(records)
        if end < header.max_tid:
            header.max_tid = end
            ctx.warn(status.PARTIAL_DATA)
        area[: sizeof(Header)] = bytes(header)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        size = sizeof(Header)
        if len(blob) < size or (len(blob) - size) % _RECORD:
            raise FormatError(f"{self.name}: {len(blob)} bytes are not a header and records")
        header = Header.from_bytes(blob[:size])
        if header.max_tid > (len(blob) - size) // _RECORD:
            raise FormatError(self.name, size + _RECORD * header.max_tid, len(blob))
        return Decoded(_parts(blob, header, chip))


# Collecting


def _read_header(io: Io, chip: Chip) -> Header:
    """cudbg_fill_le_tcam_info()"""
    le, r = chip.le, chip.r
    header = Header()
    header.tid_hash_base = io.read(r[le.hash_base])
    header.routing_start = io.read(r[le.routing_start])
    header.clip_start = io.read(r[le.clip_start])
    header.filter_start = io.read(r[le.filter_start])
    header.server_start = io.read(r[le.server_start])
    config = io.read(r.LE_DB_CONFIG)
    hashing = r.LE_DB_CONFIG.get(config, "HASHEN")
    hash_config = io.read(r.LE_DB_HASH_CONFIG) if hashing else 0
    header.max_tid = le.max_tid(config, hash_config, header.tid_hash_base) & 0xFFFFFFFF
    return header


def _type(tid: int, header: Header) -> Entry:
    """cudbg_get_le_type(). It does not heed that a T5's registers count quarters of TIDs, nor that
    a T6's CLIP table comes last, so that TIDs of the hash table seem to be filters."""
    for start, kind in (
        (header.server_start, Entry.TCAM_CON),
        (header.filter_start, Entry.TCAM_SERVER),
        (header.clip_start, Entry.TCAM_FILTER),
        (header.routing_start, Entry.TCAM_CLIP),
        (header.tid_hash_base, Entry.TCAM_ROUTING),
        (header.max_tid, Entry.HASH_CON),
    ):
        if tid < start:
            return kind
    return Entry.INVALID_TID


class _Table:
    """The engine's table while it is read.

    An IPv6 entry takes several TIDs, of which the kernel reads the first only; so which TIDs it
    reads depends on what it has read. That would be a wait for each. But entries begin at even
    TIDs (in the T6's CLIP TCAM, at every fourth): those are read ahead, then what lies between and
    is no part of an entry. `collect` then walks the table as the kernel does, and reads by itself
    whatever is still missing.
    """

    def __init__(self, io: Io, chip: Chip, header: Header) -> None:
        self._io, self._r, self._le, self._header = io, chip.r, chip.le, header
        self._found = memoryview(bytearray(_RECORD * header.max_tid))
        self._words = self._found.cast("I")
        config = self._r.LE_DB_DBGI_CONFIG
        self._start = config.of(DBGICMDSTRT=1, DBGICMDMODE=LE_MODE)
        self._request: list[Op] = [
            *(Write(self._r.LE_DB_DBGI_REQ_DATA + 4 * i, 0) for i in range(REQUEST_WORDS)),
            Write(self._r.LE_DB_DBGI_REQ_TCAM_CMD, Cell(plus=_COMMAND)),
            Write(config, self._start),
        ]
        busy = config.mask("DBGICMDBUSY")
        self._idle = Poll(config, busy, 0, MAX_POLLS, error=-errno.EBUSY)

    def collect(self, records: memoryview) -> int:
        """Fills `records`; returns the TID at which the list ends."""
        most: int = self._header.max_tid
        last = max(most - self._le.clip_step, 0)
        for tids in (range(last), range(last, most)):  # the last entry read leaves its marks
            if not self._read_ahead(tids):
                break
        tid = out = 0
        while tid < most:
            if not self._has(tid) and not self._read_one(tid):
                records[out + 4 : out + _READ_FROM + 4] = self._record(tid)[4 : _READ_FROM + 4]
                return tid
            records[out : out + _RECORD] = self._record(tid)
            tid, out = tid + self._step(tid), out + _RECORD
        return most

    def _record(self, tid: int) -> memoryview:
        return self._found[_RECORD * tid : _RECORD * (tid + 1)]

    def _has(self, tid: int) -> bool:
        """A valid status says that the record was read."""
        return bool(self._words[_RECORD_WORDS * tid + _STATUS] & 1)

    def _entry_of(self, tid: int) -> tuple[int, int]:
        """Where the entry begins that `tid` may be a part of, and how many TIDs one has there."""
        in_clip = tid - self._header.clip_start
        if 0 <= in_clip < self._le.clip_tids:
            return tid - in_clip % self._le.clip_step, self._le.clip_step
        return tid - tid % _PAIR, _PAIR

    def _step(self, tid: int) -> int:
        """From this entry to the next (cudbg_is_ipv6_entry())."""
        words = self._words[_RECORD_WORDS * tid + _DATA : _RECORD_WORDS * (tid + 1)]
        if tid & 1 or not words[-1] & _IPV6:
            return 1
        kind = _type(tid, self._header)
        in_tcam = kind == Entry.TCAM_CON and words[9] == _IPV6_IN_TCAM
        return self._entry_of(tid)[1] if in_tcam or kind == Entry.HASH_CON else 1

    def _read_ahead(self, tids: range) -> bool:
        """Where entries begin; then, up to the first that failed, what they do not cover.

        Whether none failed.
        """
        firsts = [tid for tid in tids if self._entry_of(tid)[0] == tid]
        end = self._read(firsts)
        between = (tid for tid in tids if tid < end and self._entry_of(tid)[0] != tid)
        failed = self._read([tid for tid in between if not self._covered(tid)])
        return bool(min(end, failed) == self._header.max_tid)

    def _covered(self, tid: int) -> bool:
        first, _ = self._entry_of(tid)
        return self._has(first) and first + self._step(first) > tid

    def _read(self, tids: Sequence[int]) -> int:
        """Reads entries ahead; the first that failed, or the end of the table."""
        data = memoryview(bytearray(_ANSWER * len(tids)))
        valid = Check(self._r.LE_DB_DBGI_RSP_STATUS, 1, 1, error=-errno.EIO, keep=True)
        answer = Read(self._r.LE_DB_DBGI_RSP_DATA, count=RESPONSE_WORDS)
        failed = _run(self._io, [*self._request, self._idle, valid, answer], tids, data)
        for i, tid in enumerate(tids[:failed]):
            self._store(tid, data[_ANSWER * i : _ANSWER * (i + 1)])
        return tids[failed] if failed < len(tids) else self._header.max_tid

    def _read_one(self, tid: int) -> bool:
        """Reads one entry in steps; if it fails, the record holds what is known by then."""
        self._store(tid, b"")
        if _run(self._io, [*self._request, self._idle], [tid], memoryview(bytearray())) == 0:
            self._io.read(self._r.LE_DB_DBGI_CONFIG)  # which is too late, whatever it says
            return False
        answer = self._io.read_run(self._r.LE_DB_DBGI_RSP_STATUS, 1)
        if answer[0] & 1:
            answer += self._io.read_run(self._r.LE_DB_DBGI_RSP_DATA, RESPONSE_WORDS)
        self._store(tid, answer)
        return self._has(tid)

    def _store(self, tid: int, answer: bytes | memoryview) -> None:
        at = _RECORD_WORDS * tid
        self._words[at], self._words[at + 1], self._words[at + 2] = tid, _COMMAND | tid, self._start
        self._record(tid)[_READ_FROM : _READ_FROM + len(answer)] = answer


def _run(io: Io, ops: Sequence[Op], tids: Sequence[int], data: memoryview) -> int:
    """How many TIDs were read before one failed."""
    try:
        io.run(ops, tids, data)
    except DeadDevice:
        raise
    except DeviceError as error:
        return error.rows
    return len(tids)


# Decoding

_REGIONS = {
    "t5": {
        "active": None,
        "server": "server_start",
        "filter": "filter_start",
        "CLIP": "clip_start",
        "routing": "routing_start",
        "hash": "tid_hash_base",
    },
    "t6": {
        "high-priority filter": None,
        "active": "routing_start",
        "server": "server_start",
        "filter": "filter_start",
        "hash": "tid_hash_base",
        "CLIP": "clip_start",
    },
}
"""Regions in their order, and where the header says that they begin. On a T6 the register that
LE_TCAM reads for the routing region is that of the active one."""
_PER_TID = {"t5": 4, "t6": 1}
"""What the starts count."""
_COLUMNS = (
    Column("TID", "d"),
    Column("region"),
    Column("local address"),
    Column("local port", "d"),
    Column("foreign address"),
    Column("foreign port", "d"),
    Column("filter tuple", "x"),
    Column("that is"),
)


def _parts(blob: Bytes, header: Header, chip: Chip) -> list[Fields | Table]:
    starts = [Item(name, value, form="d") for name, value in header.items()]
    rows = Lazy(lambda: _entries(blob, header, chip))
    return [
        Fields("where regions begin, as the registers say", starts),
        Table("entries in use", _COLUMNS, rows),
    ]


def _entries(blob: Bytes, header: Header, chip: Chip) -> Iterator[list[Value]]:
    names = _REGIONS[chip.name]
    starts = [
        getattr(header, name) // _PER_TID[chip.name] if name else 0 for name in names.values()
    ]
    regions = sorted(zip(starts, names, strict=True), key=lambda region: region[0])
    for record in _records(blob):
        if any(record.data):
            region = [name for start, name in regions if start <= record.tid][-1]
            yield [record.tid, region, *_entry(list(record.data), region)]


def _records(blob: Bytes) -> Iterator[Record]:
    """Those that were read; behind them stand zeros for TIDs that other entries covered."""
    for at in range(sizeof(Header), len(blob), _RECORD):
        record = Record.from_bytes(blob[at : at + _RECORD])
        if not record.dbig_rsp_stat & 1:
            return
        yield record


def _entry(words: list[int], region: str) -> list[Value]:
    if region == "CLIP":
        return [_address(clip_address(words)), None, "", None, None, ""]
    found = LookupEntry.of_words(words)
    return [
        _address(found.local),
        found.local_port,
        _address(found.foreign),
        found.foreign_port,
        found.filter_tuple,
        _filter_tuple(found.filter_tuple),
    ]


def _filter_tuple(value: int) -> str:
    """In words, if the filter mode is that of the default configuration."""
    values = ((field.name, field.get(value)) for field in FILTER_TUPLE)
    return " ".join(f"{name}={number:#x}" for name, number in values if number)


def _address(packed: bytes) -> str:
    """An address as one writes it; all zero matches any."""
    return str(ipaddress.ip_address(packed))
