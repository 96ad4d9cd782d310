"""The mailboxes: commands that the firmware refused, or did not answer."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord, command_in_words
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import ERROR, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule
from vmcoredd.plural import counted

_OWNED_BY_FIRMWARE = 1
_LAST = 5
"""At most so many commands are evidence."""


@rule(
    "mailbox-owned-by-firmware",
    WARNING,
    "the firmware owns mailbox {mailbox}: a command was not answered when the dump was made",
    to_do="the last command in MBOX_LOG is the one; look why the firmware did not answer",
    source="t4_hw.c: t4_wr_mbox_meat_timeout()",
)
def owned(card: Card) -> Iterator[Hit]:
    for mailbox, word in enumerate(card.words("CIM_PF_MAILBOX_CTRL_SHADOW_COPY")):
        if word.get("MBOwner") == _OWNED_BY_FIRMWARE:
            yield Hit(Evidence.of(word, "MBOwner"), {"mailbox": mailbox})


def _log(card: Card) -> list[MailboxRecord]:
    """Returns the commands and replies of the log, the oldest first."""
    blob = card.blob("MBOX_LOG")
    size = sizeof(MailboxRecord)
    starts = range(0, len(blob) - size + 1, size)
    records = [MailboxRecord.from_bytes(blob[at : at + size]) for at in starts]
    return sorted((r for r in records if r.timestamp), key=lambda record: record.seqno)


def _hit(records: list[MailboxRecord]) -> Iterator[Hit]:
    last = records[-_LAST:]
    if last:
        evidence = tuple(
            Evidence("MBOX_LOG", command_in_words(r), instance=f"command {r.seqno}") for r in last
        )
        yield Hit(evidence, {"commands": counted(len(records), "command")})


@rule(
    "mailbox-timed-out",
    ERROR,
    "{commands} to the firmware timed out, or found it dead",
    to_do="look at PCIE_FW and DEV_LOG: the firmware hangs or has crashed",
    source="t4_hw.c: t4_wr_mbox_meat_timeout(), t4_record_mbox()",
)
def timed_out(card: Card) -> Iterator[Hit]:
    codes = (-errno.ETIMEDOUT, -errno.ENXIO, -errno.EIO)
    late = [r for r in _log(card) if r.access in codes or r.execute in codes]
    yield from _hit(late)


@rule(
    "mailbox-busy",
    WARNING,
    "{commands} found the mailbox taken",
    to_do="look for a command without a reply before them",
    source="t4_hw.c: t4_wr_mbox_meat_timeout(), t4_record_mbox()",
)
def busy(card: Card) -> Iterator[Hit]:
    records = [r for r in _log(card) if -errno.EBUSY in (r.access, r.execute)]
    yield from _hit(records)


@rule(
    "mailbox-refused",
    NOTE,
    "the firmware refused {commands}; drivers try some to learn what the firmware can",
    to_do="look at the last of them, if something did not start",
    source="t4fw_api.h: FW_CMD_RETVAL",
)
def refused(card: Card) -> Iterator[Hit]:
    yield from _hit([r for r in _log(card) if r.cmd[0] >> 8 & 0xFF])
