"""DEV_LOG: what the firmware wrote into its log, a ring of records in adapter memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.devlog import DEVLOG_PF, ENTRIES_UNIT, DevlogEntry, facility_name, level_name
from vmcoredd.chip.firmware import Devlog
from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.hw.io import Io
from vmcoredd.hw.window import Window

_ENTRY = sizeof(DevlogEntry)
_UNIT = ENTRIES_UNIT * _ENTRY


@entity(2, "DEV_LOG")
class DevLog(Entity):
    """cudbg_collect_fw_devlog(); the firmware is asked only if no register tells where it is."""

    stage = Stage.FIRMWARE

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        memory, start, size = _where(io, chip, ctx)
        area = ctx.area(size)
        if start:
            Window(io, chip, ctx.device).read(memory, start, area, width=4)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        self.need_records(blob, _ENTRY)
        columns = [Column("seqno", "d"), Column("time", "d"), Column("facility"), Column("level")]
        columns.append(Column("message"))
        return Decoded([Table("device log", columns, list(_rows(blob)))])


def _where(io: Io, chip: Chip, ctx: Context) -> tuple[int, int, int]:
    """Memory, first byte and size of the log (t4_init_devlog_params())."""
    pointer = chip.r.PCIE_FW_PF
    word = io.read(pointer[DEVLOG_PF])
    if word:
        size = (pointer.get(word, "NENTRIES128") + 1) * _UNIT
        return pointer.get(word, "MEMTYPE"), pointer.get(word, "ADDR16") << 4, size
    reply = ctx.ask(Devlog(read=1))
    start = reply.memaddr16_devlog << 4
    return reply.memtype_devlog, start, reply.memsize_devlog


def _rows(blob: Bytes) -> Iterator[list[Value]]:
    """Records that were ever written, the oldest first."""
    records = [
        DevlogEntry.from_bytes(blob[at : at + _ENTRY])
        for at in range(0, len(blob), _ENTRY)
        if any(blob[at : at + 8])
    ]
    for record in sorted(records, key=lambda record: record.seqno):
        message = formatted(bytes(record.fmt), list(record.params))
        where, level = facility_name(record.facility), level_name(record.level)
        yield [record.seqno, record.timestamp, where, level, message]


_DIRECTIVE = re.compile(r"%([-+ #0]*)(\d{0,3})(?:\.\d+)?(?:hh|h|ll|l|z)?([diuxXocps%])")


def formatted(template: bytes, params: list[int]) -> str:
    """The firmware's printf() of up to eight 32-bit numbers; what has no number stays as it is."""
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
