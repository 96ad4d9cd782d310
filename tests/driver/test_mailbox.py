"""The mailbox protocol, against a firmware made of hooks."""

from __future__ import annotations

import ctypes
import errno

import pytest
from ramcard import RamCard

from vmcoredd.chip import T6
from vmcoredd.chip.firmware import DebugAssert, Devlog, Hello
from vmcoredd.driver.errors import MailboxError
from vmcoredd.driver.mailbox import Mailbox

DATA, CTRL, PCIE_FW = 0x1F240, 0x1F280, 0x30B8
NONE, FW, DRV, VALID = 0, 1, 2, 8
ERR = 1 << 31
INT_ENABLE, INT_MAP, GPIO, PORT, SGE = 0x1B3C4, 0x19414, 0x6010, 0x30800, 0x1008


class Firmware(RamCard):
    """Replies `answer` to a command in PF4's mailbox after `slow` polls, or never without one."""

    def __init__(self, answer: bytes | None = None, slow: int = 0) -> None:
        super().__init__()
        self.answer, self.slow, self.received = answer, slow, b""
        self.on_read[CTRL] = self._polled
        self.on_write[CTRL] = self._written_ctrl

    def _polled(self, ctrl: int) -> int:
        if ctrl & 3 == NONE:
            return DRV
        if ctrl == VALID | FW and self.answer is not None:
            self.slow -= 1
            if self.slow < 0:
                self._words(self.answer)
                return VALID | DRV
        return ctrl

    def _written_ctrl(self, ctrl: int) -> None:
        if ctrl == VALID | FW:
            words = (self.memory[at : at + 8][::-1] for at in range(DATA, CTRL, 8))
            self.received = b"".join(words)

    def _words(self, message: bytes) -> None:
        for at in range(0, 64, 8):
            self.memory[DATA + at : DATA + at + 8] = message.ljust(64, b"\0")[at : at + 8][::-1]


def mailbox(card: RamCard, slept: list[float] | None = None) -> Mailbox:
    return Mailbox(card.io(), T6, 4, sleep=(slept if slept is not None else []).append)


COMMAND = Devlog(read=1)
REPLY = COMMAND.reply(memtype_devlog=1, memaddr16_devlog=0x123, memsize_devlog=0x8000)


def test_mailbox_sends_words_big_endian() -> None:
    card = Firmware(bytes(REPLY))
    mailbox(card).call(COMMAND)
    assert card.received[: len(bytes(COMMAND))] == bytes(COMMAND)


def test_mailbox_returns_the_reply_and_releases_the_mailbox() -> None:
    card = Firmware(bytes(REPLY))
    reply = mailbox(card).call(COMMAND)
    assert (reply.memtype_devlog, reply.memaddr16_devlog, reply.memsize_devlog) == (
        1,
        0x123,
        0x8000,
    )
    assert card.word(CTRL) == 0


def test_mailbox_polls_at_growing_intervals() -> None:
    slept: list[float] = []
    mailbox(Firmware(bytes(REPLY), slow=13), slept).call(COMMAND)
    milliseconds = [round(second * 1000) for second in slept]
    assert milliseconds == [1, 1, 3, 5, 10, 10, 20, 50, 100, 200, 200, 200, 200]


def test_mailbox_raises_the_firmwares_error() -> None:
    refusing = mailbox(Firmware(bytes(Hello().reply(retval=errno.EPERM))))
    with pytest.raises(MailboxError, match="HELLO") as refused:
        refusing.call(Hello())
    assert (refused.value.op, refused.value.retval, refused.value.code) == ("HELLO", 1, -1)


def test_mailbox_raises_eio_for_a_failed_assertion() -> None:
    name = (ctypes.c_uint8 * 16)(*b"hw\x1b.c")
    reply = bytes(DebugAssert(request=0, filename=name, line=7, x=0x25))
    where = r"assertion at hw\\x1b\.c:7, val0 0x25, val1 0x0"
    with pytest.raises(MailboxError, match=where) as failed:
        mailbox(Firmware(reply)).call(COMMAND)
    assert failed.value.retval == errno.EIO


def test_mailbox_sends_nothing_to_a_firmware_in_error() -> None:
    card = Firmware(bytes(REPLY))
    card.put(PCIE_FW, ERR)
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(COMMAND)
    assert failed.value.retval == errno.ENXIO
    assert card.log == [("r", PCIE_FW, 4)]


def test_mailbox_is_busy_while_the_firmware_owns_it() -> None:
    card = Firmware()
    card.put(CTRL, FW)
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(COMMAND)
    assert failed.value.retval == errno.EBUSY


def test_mailbox_is_read_four_times_while_nobody_owns_it() -> None:
    card = Firmware()
    card.on_read[CTRL] = lambda ctrl: NONE
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(COMMAND)
    assert failed.value.retval == errno.ETIMEDOUT
    assert card.log.count(("r", CTRL, 4)) == 4


def test_mailbox_times_out_after_ten_seconds_and_stops_the_adapter() -> None:
    card, slept = Firmware(), list[float]()
    card.put(INT_MAP, 0xFFFF)
    card.put(PORT, 0xFFFFFFFF)
    card.put(SGE, 0xFF)
    card.put(0x19400, 4 << 9)
    with pytest.raises(MailboxError) as failed:
        mailbox(card, slept).call(COMMAND)
    assert failed.value.retval == errno.ETIMEDOUT
    assert 10_000 <= round(1000 * sum(slept)) < 10_300
    assert (card.word(INT_MAP), card.word(SGE)) == (0xFFEF, 0xFE)
    assert card.word(PORT) == 0xFFFFFFFF & ~(1 << 14)
    writes = [offset for kind, offset, _ in card.log if kind == "w"]
    assert writes[-5:] == [INT_ENABLE, INT_MAP, GPIO, PORT, SGE]


def test_mailbox_stops_waiting_when_the_firmware_reports_an_error() -> None:
    card = Firmware()
    card.on_write[CTRL] = lambda ctrl: card.put(PCIE_FW, ERR)
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(COMMAND)
    assert failed.value.retval == errno.ENXIO
    assert card.word(SGE) == 0


def test_mailbox_keeps_waiting_after_it_gets_ownership_without_a_message() -> None:
    card = Firmware(bytes(REPLY))
    polled = card.on_read[CTRL]
    empty_first = iter([DRV, VALID | FW, DRV])  # taken, sent, and back without a message

    def poll(ctrl: int) -> int:
        return next(empty_first, None) or polled(VALID | FW)

    card.on_read[CTRL] = poll
    slept: list[float] = []
    mailbox(card, slept).call(COMMAND)
    assert card.log.count(("w", CTRL, 4)) == 3


def test_mailbox_logs_commands_and_replies() -> None:
    box = mailbox(Firmware(bytes(REPLY), slow=2))
    box.call(COMMAND)
    sent, received = box.log
    assert sent.words[0] == int.from_bytes(bytes(COMMAND)[:8], "big")
    assert received.words[0] == int.from_bytes(bytes(REPLY)[:8], "big")
    assert (sent.seqno, received.seqno, received.execute) == (0, 1, 2)


def test_mailbox_logs_why_a_command_failed() -> None:
    card = Firmware()
    card.put(CTRL, FW)
    box = mailbox(card)
    with pytest.raises(MailboxError):
        box.call(COMMAND)
    assert box.log[-1].execute == -errno.EBUSY
