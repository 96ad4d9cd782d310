"""The mailbox's protocol against firmware made of hooks."""

from __future__ import annotations

import errno

import pytest
from ramcard import RamCard

from vmcoredd.chip import T6
from vmcoredd.chip.firmware import Devlog, Hello
from vmcoredd.driver.errors import MailboxError
from vmcoredd.driver.mailbox import Mailbox

DATA, CTRL, PCIE_FW = 0x1F240, 0x1F280, 0x30B8
NONE, FW, DRV, VALID = 0, 1, 2, 8
ERR = 1 << 31
INT_ENABLE, INT_MAP, GPIO, PORT, SGE = 0x1B3C4, 0x19414, 0x6010, 0x30800, 0x1008


class Firmware(RamCard):
    """Owns PF4's mailbox when told so; answers `answer` after `slow` looks, or never."""

    def __init__(self, answer: bytes | None = None, slow: int = 0) -> None:
        super().__init__()
        self.answer, self.slow, self.asked = answer, slow, b""
        self.on_read[CTRL] = self._looked_at
        self.on_write[CTRL] = self._given

    def _looked_at(self, ctrl: int) -> int:
        if ctrl & 3 == NONE:
            return DRV
        if ctrl == VALID | FW and self.answer is not None:
            self.slow -= 1
            if self.slow < 0:
                self._words(self.answer)
                return VALID | DRV
        return ctrl

    def _given(self, ctrl: int) -> None:
        if ctrl == VALID | FW:
            words = (self.memory[at : at + 8][::-1] for at in range(DATA, CTRL, 8))
            self.asked = b"".join(words)

    def _words(self, message: bytes) -> None:
        for at in range(0, 64, 8):
            self.memory[DATA + at : DATA + at + 8] = message.ljust(64, b"\0")[at : at + 8][::-1]


def mailbox(card: RamCard, slept: list[float] | None = None) -> Mailbox:
    return Mailbox(card.io(), T6, 4, sleep=(slept if slept is not None else []).append)


ASK = Devlog(read=1)
REPLY = ASK.reply(memtype_devlog=1, memaddr16_devlog=0x123, memsize_devlog=0x8000)


def test_mailbox_sends_words_with_their_highest_byte_first() -> None:
    card = Firmware(bytes(REPLY))
    mailbox(card).call(ASK)
    assert card.asked[: len(bytes(ASK))] == bytes(ASK)


def test_mailbox_returns_the_reply_and_gives_the_mailbox_back() -> None:
    card = Firmware(bytes(REPLY))
    reply = mailbox(card).call(ASK)
    assert (reply.memtype_devlog, reply.memaddr16_devlog, reply.memsize_devlog) == (
        1,
        0x123,
        0x8000,
    )
    assert card.word(CTRL) == 0


def test_mailbox_waits_longer_and_longer() -> None:
    slept: list[float] = []
    mailbox(Firmware(bytes(REPLY), slow=13), slept).call(ASK)
    milliseconds = [round(second * 1000) for second in slept]
    assert milliseconds == [1, 1, 3, 5, 10, 10, 20, 50, 100, 200, 200, 200, 200]


def test_mailbox_raises_what_the_firmware_returns() -> None:
    refusing = mailbox(Firmware(bytes(Hello().reply(retval=errno.EPERM))))
    with pytest.raises(MailboxError, match="HELLO") as refused:
        refusing.call(Hello())
    assert (refused.value.op, refused.value.retval, refused.value.code) == ("HELLO", 1, -1)


def test_mailbox_raises_eio_for_a_failed_assertion() -> None:
    with pytest.raises(MailboxError, match="assertion") as failed:
        mailbox(Firmware(b"\x81" + bytes(63))).call(ASK)
    assert failed.value.retval == errno.EIO


def test_mailbox_does_not_try_a_firmware_that_is_in_error() -> None:
    card = Firmware(bytes(REPLY))
    card.put(PCIE_FW, ERR)
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(ASK)
    assert failed.value.retval == errno.ENXIO
    assert card.log == [("r", PCIE_FW, 4)]


def test_mailbox_that_the_firmware_owns_is_busy() -> None:
    card = Firmware()
    card.put(CTRL, FW)
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(ASK)
    assert failed.value.retval == errno.EBUSY


def test_mailbox_that_nobody_grants_is_read_four_times() -> None:
    card = Firmware()
    card.on_read[CTRL] = lambda ctrl: NONE
    with pytest.raises(MailboxError) as failed:
        mailbox(card).call(ASK)
    assert failed.value.retval == errno.ETIMEDOUT
    assert card.log.count(("r", CTRL, 4)) == 4


def test_mailbox_gives_up_after_ten_seconds_and_stops_the_adapter() -> None:
    card, slept = Firmware(), list[float]()
    card.put(INT_MAP, 0xFFFF)
    card.put(PORT, 0xFFFFFFFF)
    card.put(SGE, 0xFF)
    card.put(0x19400, 4 << 9)
    with pytest.raises(MailboxError) as failed:
        mailbox(card, slept).call(ASK)
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
        mailbox(card).call(ASK)
    assert failed.value.retval == errno.ENXIO
    assert card.word(SGE) == 0


def test_mailbox_takes_back_a_mailbox_without_a_message_and_waits_on() -> None:
    card = Firmware(bytes(REPLY))
    looked_at = card.on_read[CTRL]
    empty_first = iter([DRV, VALID | FW, DRV])  # taken, sent, and back without a message

    def look(ctrl: int) -> int:
        return next(empty_first, None) or looked_at(VALID | FW)

    card.on_read[CTRL] = look
    slept: list[float] = []
    mailbox(card, slept).call(ASK)
    assert card.log.count(("w", CTRL, 4)) == 3


def test_mailbox_remembers_commands_and_replies() -> None:
    box = mailbox(Firmware(bytes(REPLY), slow=2))
    box.call(ASK)
    asked, answered = box.log
    assert asked.words[0] == int.from_bytes(bytes(ASK)[:8], "big")
    assert answered.words[0] == int.from_bytes(bytes(REPLY)[:8], "big")
    assert (asked.seqno, answered.seqno, answered.execute) == (0, 1, 2)


def test_mailbox_remembers_why_a_command_failed() -> None:
    card = Firmware()
    card.put(CTRL, FW)
    box = mailbox(card)
    with pytest.raises(MailboxError):
        box.call(ASK)
    assert box.log[-1].execute == -errno.EBUSY
