"""What a dump holds of the host and not of the card: it is kept beside the raised card.

`Entity.of_host` says what it is. A driver that dumps the card has its own: a crash kernel's has no
queues and has sent no command. `dump --from` takes what is kept here instead.
"""

from __future__ import annotations

from dataclasses import replace

from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.driver_state import TidLayout, driver_khz
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord
from vmcoredd.hw.device import MAILBOX_LOG_ENTRIES, AdapterFlag, Device, MailboxEntry
from vmcoredd.raised.reading import bytes_of, left_of, parsed


def known_to_the_driver(dump: Dump, device: Device) -> Device:
    """Returns what the driver that made the dump knew, where the dump tells; else as `device`."""
    clk, tids = left_of(dump, "CLK"), left_of(dump, "TID_INFO")
    khz = driver_khz(bytes_of(clk)) if clk else 0
    device = replace(device, mailbox_log=_mailbox_log(dump), queues=_queues(dump))
    if khz:
        device = replace(device, cclk_khz=khz)
    if tids:
        layout = parsed(TidLayout, bytes_of(tids))
        device = replace(device, flags=AdapterFlag(layout.flags), tids=bytes(layout))
    return device


def _mailbox_log(dump: Dump) -> tuple[MailboxEntry, ...]:
    left = left_of(dump, "MBOX_LOG")
    if left is None:
        return ()
    data, size = bytes_of(left), sizeof(MailboxRecord)
    records = (
        MailboxRecord.from_bytes(data[at : at + size])
        for at in range(0, min(len(data), MAILBOX_LOG_ENTRIES * size) - size + 1, size)
    )
    return tuple(
        MailboxEntry(
            tuple(record.cmd), record.timestamp, record.seqno, record.access, record.execute
        )
        for record in records
        if record.timestamp
    )


def _queues(dump: Dump) -> bytes:
    left = left_of(dump, "QDESC")
    return bytes_of(left).rstrip(b"\0") if left else b""
