"""The mailboxes: what was not answered, and the last command that was, from a real exchange."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from carddump import small

from vmcoredd import cudbg
from vmcoredd.chip import T6
from vmcoredd.chip.firmware import Devlog, Hello, Params
from vmcoredd.diagnosis import Finding, Severity, diagnose
from vmcoredd.driver.errors import MailboxError
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.driver.transports import Inproc
from vmcoredd.emu import Card
from vmcoredd.hw.device import MailboxEntry


def exchange(*faults: str) -> tuple[Card, Mailbox]:
    """A firmware that answered two commands, then met the faults and a third command."""
    card = small(T6)
    mailbox = Mailbox(Inproc(card).io(), T6, 4, sleep=lambda seconds: None)
    mailbox.call(Hello(write=1, exec=1))
    mailbox.call(Devlog(read=1))
    for fault in faults:
        card.fail(fault)
    with pytest.raises(MailboxError):
        mailbox.call(Params(write=1, exec=1))
    return card, mailbox


def found(card: Card, log: tuple[MailboxEntry, ...], rule: str) -> Finding:
    """The finding of that rule on a dump of the log."""
    device = cudbg.Device(T6, card.profile.card.revision, mailbox_log=log)
    data = bytearray(1 << 16)
    cudbg.collect(Inproc(card).io(), device, memoryview(data), entities=("MBOX_LOG",))
    (one,) = (f for f in diagnose(cudbg.Dump(data)).findings if f.rule == rule)
    return one


def test_a_command_without_a_reply_comes_with_the_last_good_one() -> None:
    card, mailbox = exchange("firmware-dead")
    timed_out = found(card, mailbox.log, "mailbox-timed-out")
    assert timed_out.severity is Severity.ERROR
    assert "1 command to the firmware timed out" in timed_out.meaning
    assert "; the last good reply before: DEVLOG " in timed_out.meaning
    bad, good = timed_out.evidence
    assert bad.instance == "command 5"
    assert str(bad.value).startswith("PARAMS: no reply: -ETIMEDOUT")
    assert good.instance == "the last good reply, 3"
    assert str(good.value).endswith(": ok")


def test_a_log_that_begins_with_the_hang_has_no_good_reply() -> None:
    card, mailbox = exchange("firmware-dead")
    timed_out = found(card, mailbox.log[-1:], "mailbox-timed-out")
    assert timed_out.meaning.endswith("the last good reply before: none in the log")
    assert len(timed_out.evidence) == 1


def test_a_reply_after_the_hang_is_not_before_it() -> None:
    card, mailbox = exchange("firmware-dead")
    hello, answer, *_ = mailbox.log
    later = [replace(hello, seqno=20), replace(answer, seqno=21)]
    timed_out = found(card, (*mailbox.log, *later), "mailbox-timed-out")
    assert timed_out.evidence[-1].instance == "the last good reply, 3"


def test_a_mailbox_that_is_taken_is_a_warning() -> None:
    card, mailbox = exchange("mailbox-taken")
    busy = found(card, mailbox.log, "mailbox-busy")
    assert busy.severity is Severity.WARNING
    assert mailbox.log[-1].execute == -errno.EBUSY
    assert "the last good reply before: DEVLOG " in busy.meaning


def test_a_refused_command_is_a_note() -> None:
    card = small(T6)
    mailbox = Mailbox(Inproc(card).io(), T6, 4, sleep=lambda seconds: None)
    mailbox.call(Hello(write=1, exec=1))
    with pytest.raises(MailboxError):
        mailbox.call(Params.reading([0x7F00_0000]))
    refused = found(card, mailbox.log, "mailbox-refused")
    assert refused.severity is Severity.NOTE
    assert refused.meaning.startswith("the firmware refused 1 command; ")
    assert "; the last good reply before: HELLO " in refused.meaning
