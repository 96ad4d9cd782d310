"""MBOX_LOG, DEV_LOG: the driver's log of mailbox commands, and the firmware's own log."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.devlog import (
    ADDRESS_UNIT,
    DEVLOG_PF,
    ENTRIES_UNIT,
    DevlogEntry,
    facility_name,
    level_name,
)
from vmcoredd.chip.firmware import Devlog, Op
from vmcoredd.chip.layout import U32_MASK, LittleStruct, i16, sizeof, u32, u64
from vmcoredd.cudbg.decoded import (
    Bytes,
    Column,
    Decoded,
    Fields,
    Item,
    Lazy,
    Part,
    Table,
    Value,
)
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.hw.device import MAILBOX_LOG_ENTRIES
from vmcoredd.hw.io import Io
from vmcoredd.hw.window import Window

# MBOX_LOG

_WORDS = 8
_HIGH = 32


class MailboxRecord(LittleStruct):
    """struct cudbg_mbox_log: struct mbox_cmd, then its words again as halves."""

    _fields_ = (
        ("cmd", u64 * _WORDS),
        ("timestamp", u64),
        ("seqno", u32),
        ("access", i16),
        ("execute", i16),
        ("hi", u32 * _WORDS),
        ("lo", u32 * _WORDS),
    )


_LOG_BYTES = MAILBOX_LOG_ENTRIES * sizeof(MailboxRecord)


@entity(66, "MBOX_LOG")
class MboxLog(Entity):
    """The last commands to the firmware and its replies (cudbg_collect_mbox_log()).

    The driver keeps them in its own memory; a crash kernel has sent none yet.
    """

    stage = Stage.DRIVER
    raw_bytes = _LOG_BYTES
    accesses = 0

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(_LOG_BYTES)
        used = [entry for entry in ctx.device.mailbox_log if entry.timestamp][-MAILBOX_LOG_ENTRIES:]
        for i, entry in enumerate(used):
            record = MailboxRecord.from_buffer(area, i * sizeof(MailboxRecord))
            record.cmd = entry.words
            record.timestamp, record.seqno = entry.timestamp, entry.seqno
            record.access, record.execute = entry.access, entry.execute
            record.hi = [word >> _HIGH for word in entry.words]
            record.lo = [word & U32_MASK for word in entry.words]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        records = (MailboxRecord * MAILBOX_LOG_ENTRIES).from_buffer_copy(
            self.need(blob, _LOG_BYTES)
        )
        columns = [Column("seqno", "d"), Column("time", "d"), Column("command")]
        columns += [Column("access ms", "d"), Column("execute ms", "d"), Column("words")]
        return Decoded([Table("mailbox commands", columns, list(_mailbox_rows(records)))])


def _mailbox_rows(records: ctypes.Array[MailboxRecord]) -> Iterator[list[Value]]:
    for record in records:
        if not record.timestamp:
            continue
        words = " ".join(f"{word:016x}" for word in record.cmd)
        opcode = record.cmd[0] >> 56
        name = Op(opcode).name if opcode in Op._value2member_map_ else f"{opcode:#x}"
        yield [record.seqno, record.timestamp, name, record.access, record.execute, words]


# DEV_LOG

_ENTRY_BYTES = sizeof(DevlogEntry)
_RECORDS_MOST = 1 << 16
"""Are sorted; PCIE_FW_PF has room for the size of 2,048 records."""


@entity(2, "DEV_LOG")
class DevLog(Entity):
    """The firmware's log, a ring of records in adapter memory (cudbg_collect_fw_devlog()).

    The firmware is asked for its address only if no register holds it.
    """

    stage = Stage.FIRMWARE
    host_order = False
    raw_bytes = None
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        memory, start, size = _location(io, chip, ctx)
        area = ctx.area(size)
        if start:
            Window(io, chip, ctx.device).read(memory, start, area, width=4)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        self.need_records(blob, _ENTRY_BYTES)
        columns = [Column("seqno", "d"), Column("time", "d"), Column("facility"), Column("level")]
        columns.append(Column("message"))
        parts: list[Part] = []
        if (count := len(blob) // _ENTRY_BYTES) > _RECORDS_MOST:
            blob = blob[: _RECORDS_MOST * _ENTRY_BYTES]
            sizes = [Item("records", count), Item("decoded", _RECORDS_MOST, "the first of them")]
            parts.append(Fields("size of the device log", sizes))
        return Decoded([*parts, Table("device log", columns, Lazy(lambda: _log_rows(blob)))])


def _location(io: Io, chip: Chip, ctx: Context) -> tuple[int, int, int]:
    """Returns the log's memory, first byte and size (t4_init_devlog_params())."""
    pointer = chip.r.PCIE_FW_PF
    word = io.read(pointer[DEVLOG_PF])
    if word:
        size = (pointer.get(word, "NENTRIES128") + 1) * ENTRIES_UNIT * _ENTRY_BYTES
        return pointer.get(word, "MEMTYPE"), pointer.get(word, "ADDR16") * ADDRESS_UNIT, size
    reply = ctx.ask(Devlog(read=1))
    start = reply.memaddr16_devlog * ADDRESS_UNIT
    return reply.memtype_devlog, start, reply.memsize_devlog


def _log_rows(blob: Bytes) -> Iterator[list[Value]]:
    """Yields the records that have been written, oldest first."""
    records = [
        DevlogEntry.from_bytes(blob[at : at + _ENTRY_BYTES])
        for at in range(0, len(blob), _ENTRY_BYTES)
        if any(blob[at : at + 8])
    ]
    for record in sorted(records, key=lambda record: record.seqno):
        message = formatted(bytes(record.fmt), list(record.params))
        facility, level = facility_name(record.facility), level_name(record.level)
        yield [record.seqno, record.timestamp, facility, level, message]


_DIRECTIVE = re.compile(r"%([-+ #0]*)(\d{0,3})(?:\.\d+)?(?:hh|h|ll|l|z)?([diuxXocps%])")


def formatted(template: bytes, params: list[int]) -> str:
    """Formats up to eight 32-bit numbers as the firmware's printf() does. A directive without a
    number stays unchanged."""
    numbers = iter(params)

    def one(match: re.Match[str]) -> str:
        flags, width, kind = match.groups()
        if kind == "%":
            return "%"
        number = next(numbers, None)
        return match[0] if number is None else _number(number, flags, width, kind)

    text = template.split(b"\0", 1)[0].decode("ascii", "replace")
    return _DIRECTIVE.sub(one, text).rstrip("\n")


def _number(number: int, flags: str, width: str, kind: str) -> str:
    if kind in "di" and number >> 31:
        number -= 1 << 32
    if kind == "c":
        return chr(number & 0x7F)
    form = {"i": "d", "u": "d", "p": "#x", "s": "#x"}.get(kind, kind)
    return f"%{flags}{width}{form}".replace("##", "#") % number
