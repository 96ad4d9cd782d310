"""Slow silicon: busy or not valid for some polls, then the same result as from fast silicon."""

from __future__ import annotations

import pytest

from vmcoredd import emu

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
HOST, HOST_DATA, HOST_BUSY, HOST_WRITE = 0x7B50, 0x7B54, 1 << 17, 1 << 16
RSS, RSS_ROW, RSS_VALID = 0x7DEC, 0xFFF00001, 1 << 31
SF_OP, SF_DATA, BUSY, READ_ID = 0x193FC, 0x193F8, 1 << 31, 0x9F
VPD = 0xD0
"""The capability's offset in configuration space."""
SCRATCH = 0x3FFC
"""An address in the processor's tables."""


def card(*faults: str) -> emu.Card:
    return emu.Card.load("t62100-cr", strict=True, faults=faults, memory=SMALL)


def delayed(reads: int, *registers: str) -> emu.Card:
    made = card()
    made.core.lookups.delay(reads, *(made.chip.r[name] for name in registers))
    return made


def polls(card: emu.Card, register: int, mask: int, wanted: int) -> int:
    """Returns how many reads it takes until a register's masked bits equal `wanted`."""
    for count in range(1, 100):
        if card.read(register) & mask == wanted:
            return count
    raise AssertionError(f"{register:#x} never became {wanted:#x}")


@pytest.mark.parametrize("reads", [0, 1, 4])
def test_a_delayed_command_is_busy_for_that_many_polls(reads: int) -> None:
    slow, quick = delayed(reads, "CIM_HOST_ACC_CTRL"), card()
    for one in (slow, quick):
        one.write(HOST, 0x100)
    assert polls(slow, HOST, HOST_BUSY, 0) == reads + 1
    assert slow.read(HOST_DATA) == quick.read(HOST_DATA)


def test_data_stays_the_same_until_a_delayed_command_finishes() -> None:
    slow = delayed(2, "CIM_HOST_ACC_CTRL")
    before = slow.read(HOST_DATA)
    slow.write(HOST_DATA, before)
    slow.write(HOST, 0x2804)
    assert slow.read(HOST_DATA) == before
    polls(slow, HOST, HOST_BUSY, 0)
    assert slow.read(HOST_DATA) != before


def test_a_delayed_store_finishes() -> None:
    slow = delayed(1, "CIM_HOST_ACC_CTRL")
    slow.write(HOST_DATA, 0x12345678)
    slow.write(HOST, SCRATCH | HOST_WRITE)
    polls(slow, HOST, HOST_BUSY, 0)
    slow.write(HOST_DATA, 0)
    slow.write(HOST, SCRATCH)
    polls(slow, HOST, HOST_BUSY, 0)
    assert slow.read(HOST_DATA) == 0x12345678


def test_a_delayed_row_is_not_valid_for_that_many_polls() -> None:
    slow, quick = delayed(3, "TP_RSS_LKP_TABLE"), card()
    for one in (slow, quick):
        one.write(RSS, RSS_ROW)
    assert polls(slow, RSS, RSS_VALID, RSS_VALID) == 4
    assert slow.read(RSS) == quick.read(RSS)


def test_a_new_command_replaces_an_unfinished_one() -> None:
    slow, quick = delayed(2, "TP_RSS_LKP_TABLE"), card()
    slow.write(RSS, RSS_ROW)
    slow.read(RSS)
    for one in (slow, quick):
        one.write(RSS, RSS_ROW + 1)
    assert polls(slow, RSS, RSS_VALID, RSS_VALID) == 3
    assert slow.read(RSS) == quick.read(RSS)


def test_a_write_that_is_not_a_command_is_not_delayed() -> None:
    slow = delayed(5, "CIM_OBQ_DBG_CFG")
    slow.write(0x7B64, 0)
    assert slow.read(0x7B64) == 0


def test_commands_without_a_status_bit_are_not_delayed() -> None:
    slow, quick = card("busy-once"), card()
    for one in (slow, quick):
        one.write(0x7E40, 0x20)
    assert slow.read(0x7E44) == quick.read(0x7E44)


def test_an_unfinished_command_is_part_of_a_snapshot() -> None:
    slow = delayed(3, "TP_RSS_LKP_TABLE")
    slow.write(RSS, RSS_ROW)
    slow.read(RSS)
    saved = slow.snapshot()
    assert polls(slow, RSS, RSS_VALID, RSS_VALID) == 3
    slow.restore(saved)
    assert polls(slow, RSS, RSS_VALID, RSS_VALID) == 3


def test_a_slow_flash_is_busy_for_nine_polls_after_each_operation() -> None:
    slow = card("flash-slow")
    assert slow.read(SF_OP) & BUSY == 0
    slow.write(SF_DATA, READ_ID)
    slow.write(SF_OP, 0x9)
    assert polls(slow, SF_OP, BUSY, 0) == 10
    slow.write(SF_OP, 0x14)
    assert polls(slow, SF_OP, BUSY, 0) == 10
    assert slow.read(SF_DATA) == slow.profile.flash.id
    slow.write(SF_OP, 0)
    assert slow.read(SF_OP) & BUSY == 0


def test_a_hung_flash_is_idle_until_its_first_operation() -> None:
    hanging = card("flash-hangs")
    assert hanging.read(SF_OP) & BUSY == 0
    hanging.write(SF_OP, 0x9)
    assert all(hanging.read(SF_OP) & BUSY for _ in range(100))


def test_a_mailbox_that_the_firmware_owns_is_never_granted() -> None:
    kept = card("mailbox-taken")
    assert {kept.read(0x1F280) & 3 for _ in range(10)} == {1}


def test_a_slow_vpd_is_ready_at_the_second_poll() -> None:
    slow, quick = card("vpd-slow"), card()
    for one in (slow, quick):
        one.config_write(VPD + 2, (0x400).to_bytes(2, "little"))
    flags = [slow.config_read(VPD + 3, 1)[0] >> 7 for _ in range(3)]
    assert flags == [0, 1, 1]
    assert slow.config_read(VPD + 4, 4) == quick.config_read(VPD + 4, 4)


def test_a_card_without_vpd_lacks_the_capability() -> None:
    assert card().config[VPD] == 0x03
    assert card("no-vpd").config[VPD] == 0
