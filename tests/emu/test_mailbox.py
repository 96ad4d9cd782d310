"""The mailbox: ownership, commands and replies, and firmware that misbehaves."""

from __future__ import annotations

import pytest
from emumail import DRV, FW, VALID, Mailbox, NoReply

from vmcoredd.chip.firmware import Bye, DebugAssert, Hello, Op, Retval
from vmcoredd.emu import Card
from vmcoredd.emu.firmware import Firmware

SHADOW = "CIM_PF_MAILBOX_CTRL_SHADOW_COPY"


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


@pytest.fixture
def mailbox(card: Card) -> Mailbox:
    return Mailbox(card)


def shadow(card: Card) -> int:
    return card.read(card.chip.r[SHADOW][4])


def test_reading_an_idle_mailbox_claims_it(card: Card, mailbox: Mailbox) -> None:
    assert shadow(card) == 0
    assert mailbox.owner() == DRV
    assert shadow(card) == DRV


def test_reading_the_shadow_claims_nothing(card: Card, mailbox: Mailbox) -> None:
    assert shadow(card) == shadow(card) == 0


def test_each_function_has_its_own_mailbox(card: Card) -> None:
    assert Mailbox(card, pf=2).owner() == DRV
    assert card.read(card.chip.r[SHADOW][4]) == 0


def test_the_mailbox_comes_back_with_a_reply(card: Card, mailbox: Mailbox) -> None:
    assert mailbox.owner() == DRV
    mailbox.send(bytes(Hello(mbmaster=4, masterforce=1)))
    assert card.read(mailbox.ctrl) == VALID | DRV
    mailbox.receive()
    assert shadow(card) == 0


def test_flits_are_big_endian(card: Card, mailbox: Mailbox) -> None:
    mailbox.send(bytes(Hello(mbmaster=4)))
    assert card.read(mailbox.data, 8) >> 56 == Hello.OPCODE
    assert card.read(mailbox.data + 4) >> 24 == Hello.OPCODE


def test_accesses_of_eight_and_four_bytes_see_the_same_data(card: Card, mailbox: Mailbox) -> None:
    data = bytes(Hello(mbmaster=4)).ljust(64, b"\0")
    mailbox.owner()
    for i in range(0, 64, 8):
        low, high = data[i + 4 : i + 8], data[i : i + 4]
        card.write(mailbox.data + i, int.from_bytes(low, "big"))
        card.write(mailbox.data + i + 4, int.from_bytes(high, "big"))
    card.write(mailbox.ctrl, VALID | FW)
    assert Hello.from_bytes(mailbox.receive()).mbmaster == 4


def test_a_function_sees_its_mailbox_among_its_own_registers(card: Card, mailbox: Mailbox) -> None:
    mailbox.owner()
    assert card.read(card.chip.r.MYPF_CIM_PF_MAILBOX_CTRL) == DRV


def test_a_dead_firmware_keeps_the_mailbox() -> None:
    card = Card.load("t62100-cr", faults=["firmware-dead"])
    mailbox = Mailbox(card)
    with pytest.raises(NoReply):
        mailbox.exchange(bytes(Bye()))
    assert mailbox.owner() == FW


def test_a_slow_firmware_replies_after_some_polls() -> None:
    card = Card.load("t62100-cr", faults=["firmware-slow"])
    mailbox = Mailbox(card)
    mailbox.do(Hello(mbmaster=4))
    assert mailbox.polls == Firmware.SLOW_POLLS


def test_a_command_that_the_firmware_loses_gets_no_reply_and_the_next_one_does(
    card: Card, mailbox: Mailbox
) -> None:
    card.fail("firmware-loses-command")
    with pytest.raises(NoReply):
        mailbox.exchange(bytes(Hello(mbmaster=4)))
    assert [*card.faults] == []
    mailbox.do(Hello(mbmaster=4))


def test_an_assertion_takes_the_place_of_one_reply(card: Card, mailbox: Mailbox) -> None:
    card.fail("firmware-asserts@command:BYE")
    mailbox.do(Hello(mbmaster=4))
    failed = DebugAssert.from_bytes(mailbox.exchange(bytes(Bye())))
    assert (failed.op, failed.request, failed.x) == (Op.DEBUG, 0, Op.BYE)
    assert bytes(failed.filename).rstrip(b"\0") == b"mailbox.c"
    assert [*card.faults] == []
    mailbox.do(Bye())


def test_of_two_faults_that_happen_once_each_has_its_command(card: Card, mailbox: Mailbox) -> None:
    for retval in ("EIO", "ENOMEM"):
        card.fail(f"firmware-retval={retval}", undoable=True)
    assert mailbox.call(Bye()).retval == Retval.EIO
    card.undo("firmware-retval=ENOMEM")
    assert mailbox.call(Bye()).retval == 0


def test_the_firmware_refuses_the_command_that_a_fault_names_with_its_return_value(
    card: Card, mailbox: Mailbox
) -> None:
    card.fail("firmware-retval=ENOMEM@command:BYE:2")
    replies = [mailbox.call(command).retval for command in (Bye(), Hello(), Bye(), Bye())]
    assert replies == [0, 0, Retval.ENOMEM, 0]
    assert ([*card.faults], card.triggers.armed) == ([], [])


def test_a_return_value_that_was_called_off_is_not_given(card: Card, mailbox: Mailbox) -> None:
    for fault in ("firmware-retval=EIO", "firmware-loses-command"):
        card.fail(fault, undoable=True)
        saved = card.snapshot()
        card.undo(fault)
        mailbox.do(Hello(mbmaster=4))
        card.restore(saved)
        assert [*card.faults] == [fault]
        card.undo(fault)
    mailbox.do(Hello(mbmaster=4))


def test_a_crashed_firmware_shows_it_in_pcie_fw(card: Card) -> None:
    r = card.chip.r
    assert not r.PCIE_FW.get(card.read(r.PCIE_FW), "ERR")
    card.fail("firmware-error")
    assert r.PCIE_FW.get(card.read(r.PCIE_FW), "ERR")
    with pytest.raises(NoReply):
        Mailbox(card).exchange(bytes(Bye()))


def test_a_snapshot_includes_a_pending_command() -> None:
    card = Card.load("t62100-cr", faults=["firmware-slow"])
    mailbox = Mailbox(card)
    mailbox.owner()
    mailbox.send(bytes(Hello(mbmaster=4)))
    snapshot = card.snapshot()
    first = mailbox.receive()
    card.restore(snapshot)
    assert mailbox.receive() == first


def test_an_unknown_command_is_refused_and_logged(card: Card, mailbox: Mailbox) -> None:
    data = bytes((0x7F, 0x80, 0, 0, 0, 0, 0, 1)).ljust(64, b"\x55")
    reply = mailbox.exchange(data)
    assert reply[6] == Retval.EINVAL
    assert reply[:4] == bytes((0x7F, 0, 0, 0))
    assert reply[8:] == data[8:]


def test_a_function_reset_frees_its_mailbox(card: Card, mailbox: Mailbox) -> None:
    mailbox.owner()
    card.reset()
    assert shadow(card) == 0


def test_a_reset_does_not_return_a_mailbox_that_the_firmware_keeps() -> None:
    card = Card.load("t62100-cr", faults=["mailbox-taken"])
    card.reset()
    assert Mailbox(card).owner() == FW
    assert shadow(card) & 3 == FW
