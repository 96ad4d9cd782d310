"""SF: the serial flash controller, which shifts bytes between SF_DATA and the flash chip.

Bytes go out of, and come into, the lowest byte of SF_DATA first. A transfer without CONT deselects
the chip, which is when it carries out a programming or erase command.
"""

from __future__ import annotations

from typing import Any

from emu.flash import Flash, programmed
from emu.silicon.model import Model, fault, reads, writes

READ_ID, READ, FAST_READ, READ_STATUS = 0x9F, 0x03, 0x0B, 0x05
WRITE_ENABLE, WRITE_DISABLE, PROGRAM = 0x06, 0x04, 0x02
ERASE_SECTOR, ERASE_ALL = 0xD8, 0xC7
ADDRESS_BYTES = {READ: 3, FAST_READ: 4}
"""Bytes between the command and the data; a fast read has a dummy byte behind its address."""
STATUS_WRITE_ENABLED = 0x02
LONGEST = 4 + 256
"""Bytes of the longest command: a page to program."""

SIZES = {
    0x20: {
        **{0x14 + i: 1 << 20 + i for i in range(6)},
        0x20: 1 << 26,
        0x21: 1 << 27,
        0x22: 1 << 28,
    },
    0x9D: {0x16: 1 << 25, 0x17: 1 << 26},
    0xC2: {0x17: 1 << 23, 0x18: 1 << 24},
    0xEF: {0x17: 1 << 23, 0x18: 1 << 24},
}
"""Bytes by manufacturer (bits 7..0 of the id) and density (23..16): t4_hw.c."""
DEFAULT_SIZE = 1 << 22
"""What the driver assumes of a chip it does not know."""


class Chip:
    """The flash chip: takes a command byte by byte while selected, and answers."""

    def __init__(self, jedec: int, flash: Flash) -> None:
        self.jedec, self.flash = jedec, flash
        self.sent = bytearray()
        self.answered = 0
        self.write_enabled = False

    def take(self, data: bytes) -> None:
        """Bytes shifted into the chip; more than the longest command are dropped."""
        self.sent += data[: LONGEST - len(self.sent)]

    def give(self, count: int) -> bytes:
        """Bytes shifted out of the chip."""
        start = self.answered
        self.answered += count
        return self._answer(start, count)

    def deselect(self) -> None:
        """The command is complete."""
        self._carry_out(bytes(self.sent))
        self.sent.clear()
        self.answered = 0

    def _answer(self, start: int, count: int) -> bytes:
        command = self.sent[0] if self.sent else 0
        if command == READ_ID:
            return self.jedec.to_bytes(3, "little").ljust(start + count, b"\0")[
                start : start + count
            ]
        if command == READ_STATUS:
            return bytes([STATUS_WRITE_ENABLED * self.write_enabled]) * count
        if command in ADDRESS_BYTES:
            return self._data(ADDRESS_BYTES[command], start, count)
        return b"\xff" * count

    def _data(self, between: int, start: int, count: int) -> bytes:
        """Data of a read; a dummy byte may be shifted out of the chip as well as into it."""
        address = int.from_bytes(self.sent[1:4], "big")
        missing = max(1 + between - len(self.sent), 0)
        dummies = min(max(missing - start, 0), count)
        data = self.flash.read(address + start + dummies - missing, count - dummies)
        return b"\xff" * dummies + data

    def _carry_out(self, command: bytes) -> None:
        code = command[0] if command else 0
        if code in (WRITE_ENABLE, WRITE_DISABLE):
            self.write_enabled = code == WRITE_ENABLE
        elif self.write_enabled and code in (PROGRAM, ERASE_SECTOR, ERASE_ALL):
            self._change(code, command[1:])
            self.write_enabled = False

    def _change(self, code: int, rest: bytes) -> None:
        if code == ERASE_ALL:
            self.flash.erase_all()
        elif len(rest) >= 3:
            address = int.from_bytes(rest[:3], "big")
            if code == PROGRAM:
                self.flash.program(address, rest[3:])
            else:
                self.flash.erase(address)


class SerialFlash(Model):
    """SF_OP and SF_DATA."""

    def make(self) -> None:
        profile = self.state.profile
        jedec = profile.flash.id
        size = SIZES.get(jedec & 0xFF, {}).get(jedec >> 16, DEFAULT_SIZE)
        self.flash_chip = Chip(jedec, programmed(size, self.chip, profile.firmware))
        self.busy = False

    def wire(self) -> None:
        self.words.plain(self.r.SF_DATA, 0)

    @reads("SF_OP")
    def state_of(self, element: int, stored: int) -> int:
        return stored | (self.r.SF_OP.mask("Busy") if self.busy else 0)

    @writes("SF_OP")
    def operate(self, element: int, value: int) -> int:
        op, data = self.r.SF_OP, self.r.SF_DATA
        count = op.get(value, "ByteCnt") + 1
        if op.get(value, "Op"):
            self.flash_chip.take(self.words.get(data).to_bytes(4, "little")[:count])
        elif value:
            self.words.set(data, int.from_bytes(self.flash_chip.give(count), "little"))
        if not op.get(value, "Cont"):
            self.flash_chip.deselect()
        return value & ~op.mask("Busy")

    def save(self) -> Any:
        chip = self.flash_chip
        return self.busy, bytes(chip.sent), chip.answered, chip.write_enabled, chip.flash.save()

    def load(self, saved: Any) -> None:
        chip = self.flash_chip
        self.busy, sent, chip.answered, chip.write_enabled, flash = saved
        chip.sent = bytearray(sent)
        chip.flash.load(flash)

    @fault("flash-busy", "SF_OP stays BUSY: probe fails with -EBUSY, VPD_DATA too.")
    def stay_busy(self) -> None:
        self.busy = True
