"""SF and the flash chip: the controller, the chip's commands, and its programmed content."""

from __future__ import annotations

import pytest

from vmcoredd.chip.flash import START, BootHeader, FirmwareHeader, Opcode
from vmcoredd.emu import Card
from vmcoredd.emu.flash import FlashMemory, version, word_swapped

LOCK, CONT, OUT = 0x10, 0x8, 0x1
BUSY = 1 << 31


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


def out(card: Card, value: int, count: int, more: int = CONT) -> None:
    """Shifts bytes out of SF_DATA, lowest byte first."""
    card.write(card.chip.r.SF_DATA, value)
    card.write(card.chip.r.SF_OP, OUT | more | count - 1 << 1)
    assert not card.read(card.chip.r.SF_OP) & BUSY


def into(card: Card, count: int, more: int = CONT) -> int:
    card.write(card.chip.r.SF_OP, more | count - 1 << 1)
    return card.read(card.chip.r.SF_DATA)


def read_words(card: Card, address: int, count: int) -> list[int]:
    """Reads words like the driver (t4_hw.c, t4_read_flash())."""
    out(card, int.from_bytes(address.to_bytes(3, "big"), "little") << 8 | Opcode.READ_DATA_FAST, 4)
    into(card, 1)
    words = [into(card, 4, CONT if i < count - 1 else LOCK) for i in range(count)]
    card.write(card.chip.r.SF_OP, 0)
    return words


def test_the_id_is_shifted_out_manufacturer_first(card: Card) -> None:
    out(card, Opcode.READ_ID, 1)
    assert into(card, 3, LOCK) == 0x1740EF
    card.write(card.chip.r.SF_OP, 0)


def test_the_firmware_version_is_where_the_driver_reads_it(card: Card) -> None:
    assert read_words(card, START["FW"] + 4, 1) == [version("1.27.5.0")]
    assert read_words(card, START["FW"] + 8, 1) == [version("0.1.4.9")]
    assert read_words(card, START["FWBOOTSTRAP"] + 4, 1) == [version("1.0.0.0")]


def test_the_firmware_header_is_stored_in_big_endian_words(card: Card) -> None:
    words = read_words(card, START["FW"], 32)
    header = FirmwareHeader.from_bytes(b"".join(word.to_bytes(4, "big") for word in words))
    assert (header.chip, header.major, header.minor) == (card.chip.firmware_code, 1, 27)
    assert header.flags == 1  # FreeBSD's driver insists: firmware resets the device by itself


def test_the_boot_rom_header_is_plain_bytes(card: Card) -> None:
    words = read_words(card, START["EXP_ROM"], 5)
    header = BootHeader.from_bytes(b"".join(word.to_bytes(4, "little") for word in words))
    assert bytes(header.hdr_arr[:2]) == b"\x55\xaa"
    assert list(header.version) == [1, 0, 0, 68]


def test_a_sector_can_be_erased_and_a_page_programmed(card: Card) -> None:
    address = START["CFG"]
    address_bytes = int.from_bytes(address.to_bytes(3, "big"), "little") << 8
    out(card, Opcode.WRITE_ENABLE, 1, 0)
    out(card, address_bytes | Opcode.PROGRAM_PAGE, 4)
    out(card, 0x44332211, 4, 0)
    assert read_words(card, address, 1) == [0x44332211]
    out(card, Opcode.WRITE_ENABLE, 1, 0)
    out(card, address_bytes | Opcode.ERASE_SECTOR, 4, 0)
    assert read_words(card, address, 1) == [0xFFFFFFFF]


def test_programming_needs_write_enable(card: Card) -> None:
    address = START["CFG"]
    address_bytes = int.from_bytes(address.to_bytes(3, "big"), "little") << 8
    out(card, address_bytes | Opcode.PROGRAM_PAGE, 4)
    out(card, 0, 4, 0)
    assert read_words(card, address, 1) == [0xFFFFFFFF]


def test_the_status_says_whether_writing_is_enabled(card: Card) -> None:
    for command, expected in ((Opcode.WRITE_ENABLE, 2), (Opcode.WRITE_DISABLE, 0)):
        out(card, command, 1, 0)
        out(card, Opcode.READ_STATUS, 1)
        assert into(card, 1, LOCK) == expected


def test_an_unknown_command_reads_as_ones(card: Card) -> None:
    out(card, 0x77, 1)
    assert into(card, 4, LOCK) == 0xFFFFFFFF


def test_a_command_that_is_too_long_is_harmless(card: Card) -> None:
    for _ in range(200):
        out(card, 0, 4)
    card.write(card.chip.r.SF_OP, 0)
    assert read_words(card, START["FW"] + 4, 1) == [version("1.27.5.0")]


def test_a_fault_keeps_the_flash_busy() -> None:
    card = Card.load("t62100-cr", faults=["flash-busy"])
    assert card.read(card.chip.r.SF_OP) & BUSY


def test_programming_only_clears_bits() -> None:
    flash = FlashMemory(1 << 20)
    flash.program(0, b"\x0f")
    flash.program(0, b"\xf1")
    assert flash.read(0, 2) == b"\x01\xff"


def test_addresses_wrap_at_the_end() -> None:
    flash = FlashMemory(1 << 20)
    flash.program((1 << 20) - 1, b"ab")
    assert flash.read((1 << 20) - 1, 2) == b"ab"
    assert flash.read(0, 1) == b"b"


def test_words_are_swapped_one_by_one() -> None:
    assert word_swapped(bytes(range(8))) == bytes((3, 2, 1, 0, 7, 6, 5, 4))
