"""The mailboxes: commands that the firmware refused, or did not answer."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress

from vmcoredd.chip.layout import sizeof
from vmcoredd.cudbg.entities.firmware_logs import MailboxRecord, command_in_words, did_as_told
from vmcoredd.diagnosis.card import Card, NotJudged
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
    to_do="read PCIE_FW, DEV_LOG and CIM_LA for what the firmware did instead; the last command in "
    "MBOX_LOG is the one, but a crash kernel's dump has an empty log",
    source="t4_hw.c: t4_wr_mbox_meat_timeout()",
)
def owned(card: Card) -> Iterator[Hit]:
    for word in card.words("CIM_PF_MAILBOX_CTRL_SHADOW_COPY"):
        if word.get("MBOwner") == _OWNED_BY_FIRMWARE:
            evidence = (*Evidence.of(word, "MBOwner"), *_end_of_log(card))
            yield Hit(evidence, {"mailbox": word.element})


def _end_of_log(card: Card) -> Iterator[Evidence]:
    """Yields the last command, and the last good reply, if the dump has a log."""
    with suppress(NotJudged):
        log = _log(card)
        yield from (_evidence(record, "command") for record in log[-1:])
        yield from _last_good(log)


def _log(card: Card) -> list[MailboxRecord]:
    """Returns the commands and replies of the log, the oldest first."""
    blob = card.blob("MBOX_LOG")
    size = sizeof(MailboxRecord)
    starts = range(0, len(blob) - size + 1, size)
    records = [MailboxRecord.from_bytes(blob[at : at + size]) for at in starts]
    return sorted((r for r in records if r.timestamp), key=lambda record: record.seqno)


def _hit(log: Sequence[MailboxRecord], found: Sequence[MailboxRecord]) -> Iterator[Hit]:
    """Yields a hit for the records found in the log, with the last good reply before the first."""
    if not found:
        return
    good = _last_good([record for record in log if record.seqno < found[0].seqno])
    evidence = [_evidence(record, "command") for record in found[-_LAST:]]
    told = good[0].value if good else "none in the log"
    yield Hit((*evidence, *good), {"commands": counted(len(found), "command"), "good": told})


def _last_good(log: Sequence[MailboxRecord]) -> list[Evidence]:
    """Returns the last reply to a command that the firmware executed; empty if there is none."""
    good = next((record for record in reversed(log) if did_as_told(record)), None)
    return [_evidence(good, "the last good reply,")] if good else []


def _evidence(record: MailboxRecord, what: str) -> Evidence:
    return Evidence("MBOX_LOG", command_in_words(record), instance=f"{what} {record.seqno}")


_GOOD = "; the last good reply before: {good}"


@rule(
    "mailbox-timed-out",
    ERROR,
    "{commands} to the firmware timed out, or found it dead" + _GOOD,
    to_do="look at PCIE_FW and DEV_LOG: the firmware hangs or has crashed",
    source="t4_hw.c: t4_wr_mbox_meat_timeout(), t4_record_mbox()",
)
def timed_out(card: Card) -> Iterator[Hit]:
    codes = (-errno.ETIMEDOUT, -errno.ENXIO, -errno.EIO)
    log = _log(card)
    yield from _hit(log, [r for r in log if r.access in codes or r.execute in codes])


@rule(
    "mailbox-busy",
    WARNING,
    "{commands} found the mailbox taken" + _GOOD,
    to_do="look for a command without a reply before them",
    source="t4_hw.c: t4_wr_mbox_meat_timeout(), t4_record_mbox()",
)
def busy(card: Card) -> Iterator[Hit]:
    log = _log(card)
    yield from _hit(log, [r for r in log if -errno.EBUSY in (r.access, r.execute)])


@rule(
    "mailbox-refused",
    NOTE,
    "the firmware refused {commands}; drivers try some to learn what the firmware can" + _GOOD,
    to_do="look at the last of them, if something did not start",
    source="t4fw_api.h: FW_CMD_RETVAL",
)
def refused(card: Card) -> Iterator[Hit]:
    log = _log(card)
    yield from _hit(log, [r for r in log if r.cmd[0] >> 8 & 0xFF])
