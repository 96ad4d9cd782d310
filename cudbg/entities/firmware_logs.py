"""MBOX_LOG, DEV_LOG: the driver's log of mailbox commands, and the firmware's own log."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping

from vmcoredd.chip import Chip
from vmcoredd.chip.devlog import (
    ADDRESS_UNIT,
    DEVLOG_PF,
    ENTRIES_UNIT,
    DevlogEntry,
    facility_name,
    level_name,
)
from vmcoredd.chip.firmware import (
    Devlog,
    Header,
    LdstSpace,
    Params,
    Retval,
    command_of,
    op_name,
    param_name,
    retval_name,
)
from vmcoredd.chip.layout import U32_MASK, LittleStruct, i16, sizeof, u32, u64
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.blank import is_silent
from vmcoredd.cudbg.core_clock import core_clock
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
from vmcoredd.cudbg.device_log import ENTRY_BYTES, RECORDS_MOST, message, records
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.hw.device import MAILBOX_LOG_ENTRIES
from vmcoredd.hw.errors import errno_name
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

    momentary = Kind.WORK
    of_host = None
    entry_bytes = sizeof(MailboxRecord)
    all_zero = (
        "EMPTY: None of {count} entries is in use. A crash kernel's driver has sent no command."
    )
    stage = Stage.DRIVER
    layouts = (MailboxRecord,)
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
        return Decoded([Table(_MAILBOX_TITLE, _MAILBOX_COLUMNS, list(_mailbox_rows(records)))])


_MAILBOX_TITLE = "mailbox commands and replies; time in jiffies of that kernel, whose HZ is unknown"
_MAILBOX_COLUMNS = (
    Column("seqno", "d"),
    Column("time", "d"),
    Column("kind"),
    Column("command"),
    Column("flags"),
    Column("result"),
    Column("access ms", "d"),
    Column("execute ms", "d"),
    Column("fields"),
    Column("words"),
)


def _mailbox_rows(records: ctypes.Array[MailboxRecord]) -> Iterator[list[Value]]:
    for record in records:
        if not record.timestamp or is_silent(record):
            continue
        words = _bytes_of(record)
        head = Header.from_bytes(words[: sizeof(Header)])
        kind = "request" if head.request else "reply"
        flags = " ".join(name for name in ("read", "write", "exec") if getattr(head, name))
        times = [None if time < 0 else time for time in (record.access, record.execute)]
        shown = " ".join(f"{word:016x}" for word in record.cmd)
        named = [kind, op_name(head.op), flags]
        if is_silent(words):
            named = [""] * 3
        result = _result(record, head)
        yield [record.seqno, record.timestamp, *named, result, *times, _fields(words), shown]


def command_in_words(record: MailboxRecord) -> str:
    """Returns a command's name, its own fields, and what became of it."""
    words = _bytes_of(record)
    head = Header.from_bytes(words[: sizeof(Header)])
    what = " ".join(filter(None, (op_name(head.op), _fields(words))))
    return ": ".join(filter(None, (what, _result(record, head))))


def did_as_told(record: MailboxRecord) -> bool:
    """Returns whether it is the reply to a command that the firmware executed."""
    return _result(record, Header.from_bytes(_bytes_of(record)[: sizeof(Header)])) == _OK


def _bytes_of(record: MailboxRecord) -> bytes:
    """Returns a command as the mailbox has it."""
    return b"".join(int(word).to_bytes(8, "big") for word in record.cmd)


_OF_EVERY_COMMAND = ("op", "request", "read", "write", "exec", "retval", "len16")


def _fields(words: bytes) -> str:
    """Returns a command's own fields that are not zero; of PARAMS, the parameters by name."""
    command = command_of(words)
    if command is None:
        return ""
    if isinstance(command, Params):
        used = [one for one in command.param if one.mnem]
        return " ".join(f"{param_name(one.mnem)}={one.val:#x}" for one in used)
    own = ((name, value) for name, value in command.items() if name not in _OF_EVERY_COMMAND)
    return " ".join(
        f"{name}={_operand(name, value)}" for name, value in own if isinstance(value, int) and value
    )


def _operand(name: str, value: int) -> str:
    """Returns a field's value; the space that an LDST reads or writes by its name."""
    if name == "addrspace" and value in LdstSpace._value2member_map_:
        return LdstSpace(value).name
    return f"{value:#x}"


_OK = "ok"


def _result(record: MailboxRecord, head: Header) -> str:
    """Returns why a command was not answered, or what the firmware replied; empty for a request."""
    for step, code in (("no access", record.access), ("no reply", record.execute)):
        if code < 0:
            return f"{step}: {errno_name(code)}"
    if is_silent(record.cmd):
        return "all ones: the mailbox was not read"
    if head.request:
        return ""
    return _OK if head.retval == Retval.SUCCESS else f"refused: {retval_name(head.retval)}"


# DEV_LOG


@entity(2, "DEV_LOG")
class DevLog(Entity):
    """The firmware's log, a ring of records in adapter memory (cudbg_collect_fw_devlog()).

    The firmware is asked for its address only if no register holds it.
    """

    momentary = Kind.CAPTURE
    entry_bytes = ENTRY_BYTES
    all_zero = "EMPTY: None of {count} records was ever written."
    stage = Stage.FIRMWARE
    host_order = False
    layouts = (DevlogEntry,)
    raw_bytes = None
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        memory, start, size = _location(io, chip, ctx)
        area = ctx.area(size)
        if start:
            Window(io, chip, ctx.device).read(memory, start, area, width=4)

    explained_by = ("CLK", "TID_INFO")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        self.need_records(blob, ENTRY_BYTES)
        clock = core_clock({**others, "DEV_LOG": blob})
        khz = 0 if clock.is_unknown else clock.khz
        parts: list[Part] = [_log_sizes(blob)] if len(blob) > RECORDS_MOST * ENTRY_BYTES else []
        rows = Lazy(lambda: _log_rows(blob, khz))
        return Decoded([*parts, Table(_log_title(khz), _LOG_COLUMNS, rows)])


_LOG_COLUMNS = (
    Column("seqno", "d"),
    Column("ticks", "d"),
    Column("seconds", "d"),
    Column("facility"),
    Column("level"),
    Column("message"),
)


def _log_sizes(blob: Bytes) -> Fields:
    sizes = [
        Item("records", len(blob) // ENTRY_BYTES),
        Item("decoded", RECORDS_MOST, "the first of them"),
    ]
    return Fields("size of the device log", sizes)


def _log_title(khz: int) -> str:
    """Says what is known of the records' time: Linux shows it without a unit."""
    if khz:
        return f"device log (seconds: assumed that a tick is one core clock cycle, {khz} kHz)"
    return "device log (no seconds: neither the unit of ticks nor the core clock is known)"


def _location(io: Io, chip: Chip, ctx: Context) -> tuple[int, int, int]:
    """Returns the log's memory, first byte and size (t4_init_devlog_params())."""
    pointer = chip.r.PCIE_FW_PF
    word = io.read(pointer[DEVLOG_PF])
    if word:
        size = (pointer.get(word, "NENTRIES128") + 1) * ENTRIES_UNIT * ENTRY_BYTES
        return pointer.get(word, "MEMTYPE"), pointer.get(word, "ADDR16") * ADDRESS_UNIT, size
    reply = ctx.ask(Devlog(read=1))
    start = reply.memaddr16_devlog * ADDRESS_UNIT
    return reply.memtype_devlog, start, reply.memsize_devlog


def _log_rows(blob: Bytes, khz: int) -> Iterator[list[Value]]:
    """Yields the records that have been written, oldest first."""
    for record in records(blob):
        facility, level = facility_name(record.facility), level_name(record.level)
        seconds = round(record.timestamp / khz / 1000, 6) if khz else None
        yield [record.seqno, record.timestamp, seconds, facility, level, message(record)]
