"""MBOX_LOG: the last commands to the firmware and its replies, as the driver remembers them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import Op
from vmcoredd.chip.layout import LittleStruct, i16, sizeof, u32, u64
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.hw.io import Io

_RECORDS = 256  # T4_OS_LOG_MBOX_CMDS
_WORDS = 8
_HIGH = 32


class MailboxRecord(LittleStruct):
    """struct cudbg_mbox_log: struct mbox_cmd, and its words once more as halves."""

    _fields_ = (
        ("cmd", u64 * _WORDS),
        ("timestamp", u64),
        ("seqno", u32),
        ("access", i16),
        ("execute", i16),
        ("hi", u32 * _WORDS),
        ("lo", u32 * _WORDS),
    )


@entity(66, "MBOX_LOG")
class MboxLog(Entity):
    """cudbg_collect_mbox_log(); memory only, and empty in a crash kernel, which is yet to talk."""

    stage = Stage.DRIVER

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(_RECORDS * sizeof(MailboxRecord))
        used = [entry for entry in ctx.device.mailbox_log if entry.timestamp][-_RECORDS:]
        for place, entry in enumerate(used):
            record = MailboxRecord.from_buffer(area, place * sizeof(MailboxRecord))
            record.cmd = entry.words
            record.timestamp, record.seqno = entry.timestamp, entry.seqno
            record.access, record.execute = entry.access, entry.execute
            record.hi = [word >> _HIGH for word in entry.words]
            record.lo = [word & 0xFFFFFFFF for word in entry.words]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        entries = (MailboxRecord * _RECORDS).from_buffer_copy(
            self.need(blob, _RECORDS * sizeof(MailboxRecord))
        )
        columns = [Column("seqno", "d"), Column("time", "d"), Column("command")]
        columns += [Column("access ms", "d"), Column("execute ms", "d"), Column("words")]
        return Decoded([Table("mailbox commands", columns, list(_rows(entries)))])


def _rows(entries: ctypes.Array[MailboxRecord]) -> Iterator[list[Value]]:
    for entry in entries:
        if not entry.timestamp:
            continue
        words = " ".join(f"{word:016x}" for word in entry.cmd)
        opcode = entry.cmd[0] >> 56
        name = Op(opcode).name if opcode in Op._value2member_map_ else f"{opcode:#x}"
        yield [entry.seqno, entry.timestamp, name, entry.access, entry.execute, words]
