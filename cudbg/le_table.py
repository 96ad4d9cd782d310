"""The lookup engine's table, read through its debug interface (cudbg_collect_le_tcam()).

An IPv6 entry takes several TIDs, and the kernel reads only the first of them. The TID that it reads
next therefore depends on the previous entry, so it waits for each entry. But entries begin at even
TIDs (in the T6's CLIP TCAM, at every fourth). `TableReader` reads those ahead, then the TIDs in
between that belong to no entry. Finally it goes through the table in the kernel's order and reads
any missing TID by itself.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from itertools import takewhile

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u32s
from vmcoredd.chip.le import (
    IPV6_IN_TCAM,
    IPV6_MARK,
    IPV6_TIDS,
    LE_MODE,
    MAX_POLLS,
    READ_COMMAND,
    REQUEST_WORDS,
    RESPONSE_WORDS,
    LeEntryType,
)
from vmcoredd.hw.indirect import run_rows
from vmcoredd.hw.io import Cell, Check, Io, Op, Poll, Put, Read, Write


class Header(LittleStruct):
    """struct cudbg_tcam: the starts of the regions, as in the registers."""

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


RECORD_BYTES = sizeof(Record)
_RECORD_WORDS = RECORD_BYTES // 4
_READ_FROM = Record.dbig_rsp_stat.offset
"""The offset of the first member of a record that is read: the status, before the data."""
_DATA = Record.data.offset // 4
"""The first word of the data."""
_COMMAND = READ_COMMAND << 20  # DBGICMD
_AHEAD = 1 << 13
"""The most TIDs that are read ahead."""


def read_header(io: Io, chip: Chip) -> Header:
    """Reads the starts of the regions (cudbg_fill_le_tcam_info())."""
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


def _type(tid: int, header: Header) -> LeEntryType:
    """Returns the type as cudbg_get_le_type() does. It ignores that a T5's registers count quarters
    of TIDs, and that a T6's CLIP table comes last, so TIDs of the hash table look like filters."""
    for start, kind in (
        (header.server_start, LeEntryType.TCAM_CON),
        (header.filter_start, LeEntryType.TCAM_SERVER),
        (header.clip_start, LeEntryType.TCAM_FILTER),
        (header.routing_start, LeEntryType.TCAM_CLIP),
        (header.tid_hash_base, LeEntryType.TCAM_ROUTING),
        (header.max_tid, LeEntryType.HASH_CON),
    ):
        if tid < start:
            return kind
    return LeEntryType.INVALID_TID


class TableReader:
    """Reads the whole table, whose length is in `header`."""

    def __init__(self, io: Io, chip: Chip, header: Header) -> None:
        self._io, self._r, self._le, self._header = io, chip.r, chip.le, header
        self._found: dict[int, bytes] = {}  # valid records by TID
        self._wide: dict[int, int] = {}  # how many TIDs an entry takes, if more than one
        config = self._r.LE_DB_DBGI_CONFIG
        self._start = config.of(DBGICMDSTRT=1, DBGICMDMODE=LE_MODE)
        self._request: list[Op] = [
            Write(self._r.LE_DB_DBGI_REQ_DATA, 0, count=REQUEST_WORDS),
            Write(self._r.LE_DB_DBGI_REQ_TCAM_CMD, Cell(plus=_COMMAND)),
            Write(config, self._start),
        ]
        busy = config.mask("DBGICMDBUSY")
        self._idle = Poll(config, busy, 0, MAX_POLLS, error=-errno.EBUSY)

    def read(self, records: memoryview) -> int:
        """Fills `records`; returns the TID where the list ends."""
        most: int = self._header.max_tid
        last = max(most - self._le.clip_step, 0)  # read last, because the registers keep it
        tid = out = 0
        while tid < most:
            tids = range(tid, min(tid + _AHEAD, last if tid < last else most))
            self._read_ahead(tids)
            kept, tid, failed = self._walk(tids)
            end = out + RECORD_BYTES * len(kept)
            records[out:end], out = b"".join(kept), end
            if failed:
                known = slice(4, 4 * _DATA)  # all but the TID and the data
                records[out : out + RECORD_BYTES][known] = failed[known]
                return tid
        return most

    def _walk(self, tids: range) -> tuple[list[bytes], int, bytes | None]:
        """Returns the records that the kernel reads, the TID after them, and the incomplete record
        of that TID if reading it fails."""
        covered = self._covered()
        visited = [tid for tid in tids if tid not in covered]
        kept = list(takewhile(bool, (self._found.get(tid, b"") for tid in visited)))
        if len(kept) < len(visited):
            tid = visited[len(kept)]
            record = self._read_one(tid)
            if tid not in self._found:
                return kept, tid, record
            kept.append(record)
        last = visited[len(kept) - 1]
        return kept, last + self._wide.get(last, 1), None

    def _covered(self) -> set[int]:
        """Returns the TIDs inside entries that have been read."""
        covered: set[int] = set()
        for tid, width in sorted(self._wide.items()):
            if tid not in covered:
                covered.update(range(tid + 1, tid + width))
        return covered

    def _read_ahead(self, tids: range) -> None:
        """Reads TIDs where entries begin; then, up to the first failure, those in no entry."""
        self._found, self._wide = {}, {}
        firsts = self._firsts(tids)
        end = self._read_many(firsts)
        between = {*range(tids.start, min(tids.stop, end))}
        self._read_many(sorted(between.difference(firsts, self._covered())))

    def _firsts(self, tids: range) -> list[int]:
        """Returns the TIDs where entries begin: before, in and after the CLIP TCAM."""
        clip, step = self._header.clip_start, self._le.clip_step
        end = clip + self._le.clip_tids
        firsts: list[int] = []
        for low, high, origin, every in (
            (0, clip, 0, IPV6_TIDS),
            (clip, end, clip, step),
            (end, tids.stop, 0, IPV6_TIDS),
        ):
            start = max(tids.start, low)
            firsts += range(start + (origin - start) % every, min(tids.stop, high), every)
        return firsts

    def _width(self, tid: int) -> int:
        """Returns the number of TIDs of an entry marked as IPv6 (cudbg_is_ipv6_entry())."""
        kind = _type(tid, self._header)
        in_tcam = kind == LeEntryType.TCAM_CON and u32s(self._found[tid])[_DATA + 9] == IPV6_IN_TCAM
        if tid & 1 or not (in_tcam or kind == LeEntryType.HASH_CON):
            return 1
        in_clip = 0 <= tid - self._header.clip_start < self._le.clip_tids
        return self._le.clip_step if in_clip else IPV6_TIDS

    def _read_many(self, tids: Sequence[int]) -> int:
        """Reads entries; returns the first that failed, or the end of the table."""
        data = memoryview(bytearray(RECORD_BYTES * len(tids)))
        known: list[Op] = [Put(Cell()), Put(Cell(plus=_COMMAND)), Put(self._start)]
        valid = Check(self._r.LE_DB_DBGI_RSP_STATUS, 1, 1, error=-errno.EIO, keep=True)
        answer = Read(self._r.LE_DB_DBGI_RSP_DATA, count=RESPONSE_WORDS)
        ops = [*known, *self._request, self._idle, valid, answer]
        failed = run_rows(self._io, ops, tids, data)
        self._keep(tids[:failed], data[: RECORD_BYTES * failed])
        return tids[failed] if failed < len(tids) else self._header.max_tid

    def _read_one(self, tid: int) -> bytes:
        """Reads one entry step by step; after a failure, the record is incomplete."""
        record = struct.pack("<III", tid, _COMMAND | tid, self._start)
        if run_rows(self._io, [*self._request, self._idle], [tid], memoryview(bytearray())) == 0:
            self._io.read(self._r.LE_DB_DBGI_CONFIG)  # the kernel does this too, too late to matter
            return record.ljust(RECORD_BYTES, b"\0")
        record += self._io.read_run(self._r.LE_DB_DBGI_RSP_STATUS, 1)
        if not record[_READ_FROM] & 1:
            return record.ljust(RECORD_BYTES, b"\0")
        record += self._io.read_run(self._r.LE_DB_DBGI_RSP_DATA, RESPONSE_WORDS)
        self._keep([tid], memoryview(record))
        return record

    def _keep(self, tids: Sequence[int], data: memoryview) -> None:
        """Stores consecutive valid records."""
        records = (record for (record,) in struct.iter_unpack(f"{RECORD_BYTES}s", data))
        self._found |= zip(tids, records, strict=True)
        marks = data.cast("I")[_DATA + 16 :: _RECORD_WORDS].tolist()
        marked = [tid for tid, mark in zip(tids, marks, strict=True) if mark & IPV6_MARK]
        self._wide |= {tid: width for tid in marked if (width := self._width(tid)) > 1}
