"""SF: the serial flash controller, which shifts bytes between SF_DATA and the flash chip.

The lowest byte of SF_DATA is transferred first, in both directions. A transfer without CONT
deselects the chip, which then executes a program or erase command.
"""

from __future__ import annotations

from typing import Any

from vmcoredd.chip.flash import PAGE_BYTES, POLLS, Opcode, flash_bytes
from vmcoredd.emu.flash import FlashMemory, programmed
from vmcoredd.emu.silicon.model import Model, fault, reads, writes

ADDRESS_BYTES = 3
HEAD_BYTES = 1 + ADDRESS_BYTES + 1
"""Bytes before the data of a fast read: opcode, address, and one dummy byte."""
STATUS_WRITE_ENABLED = 0x02
FOREVER = 1 << 64
"""Polls that never end."""
LONGEST = 1 + ADDRESS_BYTES + PAGE_BYTES
"""Bytes of the longest command, which programs a page."""


class FlashChip:
    """The flash chip, which receives a command byte by byte while it is selected."""

    def __init__(self, jedec: int, flash: FlashMemory) -> None:
        self.jedec, self.flash = jedec, flash
        self.received = bytearray()
        self.shifted_out = 0
        self.write_enabled = False

    def shift_in(self, data: bytes) -> None:
        """Shifts bytes in; those past the longest command are dropped."""
        self.received += data[: LONGEST - len(self.received)]

    def shift_out(self, count: int) -> bytes:
        """Shifts bytes out."""
        start = self.shifted_out
        self.shifted_out += count
        return self._reply(start, count)

    def deselect(self) -> None:
        """Executes the complete command."""
        self._execute(bytes(self.received))
        self.received.clear()
        self.shifted_out = 0

    def _reply(self, start: int, count: int) -> bytes:
        command = self.received[0] if self.received else 0
        if command == Opcode.READ_ID:
            return self.jedec.to_bytes(3 + start + count, "little")[start : start + count]
        if command == Opcode.READ_STATUS:
            return bytes([STATUS_WRITE_ENABLED * self.write_enabled]) * count
        if command == Opcode.READ_DATA_FAST:
            return self._data(start, count)
        return b"\xff" * count

    def _data(self, start: int, count: int) -> bytes:
        """Returns the data of a fast read, whose dummy byte may be shifted in either direction."""
        address = int.from_bytes(self.received[1 : 1 + ADDRESS_BYTES], "big")
        missing = max(HEAD_BYTES - len(self.received), 0)
        dummies = min(max(missing - start, 0), count)
        data = self.flash.read(address + start + dummies - missing, count - dummies)
        return b"\xff" * dummies + data

    def _execute(self, command: bytes) -> None:
        code = command[0] if command else 0
        if code in (Opcode.WRITE_ENABLE, Opcode.WRITE_DISABLE):
            self.write_enabled = code == Opcode.WRITE_ENABLE
        elif self.write_enabled and code in (Opcode.PROGRAM_PAGE, Opcode.ERASE_SECTOR):
            self._change(code, command[1:])
            self.write_enabled = False

    def _change(self, code: int, rest: bytes) -> None:
        if len(rest) < ADDRESS_BYTES:
            return
        address = int.from_bytes(rest[:ADDRESS_BYTES], "big")
        if code == Opcode.PROGRAM_PAGE:
            self.flash.program(address, rest[ADDRESS_BYTES:])
        else:
            self.flash.erase(address)


class SerialFlash(Model):
    """SF_OP and SF_DATA."""

    def make(self) -> None:
        profile = self.scenario.profile
        jedec = profile.flash.id
        size = flash_bytes(jedec)
        self.flash_chip = FlashChip(jedec, programmed(size, self.chip, profile.firmware))
        self.busy_polls = self.busy = 0
        self.stuck = False

    def wire(self) -> None:
        self.spaces.plain(self.r.SF_DATA, 0)

    @reads("SF_OP")
    def poll(self, element: int, stored: int) -> int:
        """Reads as busy while any polls are left."""
        if not (self.busy or self.stuck):
            return stored
        self.busy -= bool(self.busy)
        return stored | self.r.SF_OP.mask("Busy")

    @writes("SF_OP")
    def operate(self, element: int, value: int) -> int:
        """Shifts one to four bytes in or out."""
        op, data = self.r.SF_OP, self.r.SF_DATA
        count = op.get(value, "ByteCnt") + 1
        if op.get(value, "Op"):
            self.flash_chip.shift_in(self.spaces.get(data).to_bytes(4, "little")[:count])
        elif value:
            self.spaces.set(data, int.from_bytes(self.flash_chip.shift_out(count), "little"))
        if not op.get(value, "Cont"):
            self.flash_chip.deselect()
        if value:
            self.busy = self.busy or self.busy_polls
        return value & ~op.mask("Busy")

    def save(self) -> Any:
        chip = self.flash_chip
        polls = self.busy_polls, self.busy, self.stuck
        return polls, bytes(chip.received), chip.shifted_out, chip.write_enabled, chip.flash.save()

    def load(self, saved: Any) -> None:
        chip = self.flash_chip
        polls, received, chip.shifted_out, chip.write_enabled, flash = saved
        self.busy_polls, busy, self.stuck = polls
        self.busy = min(busy, self.busy_polls)  # of a fault that is undone, nothing is left
        chip.received = bytearray(received)
        chip.flash.load(flash)

    @fault("flash-busy", "SF_OP stays BUSY: probe fails with -EBUSY, VPD_DATA too.")
    def stay_busy(self) -> None:
        self.stuck = True

    @fault("flash-hangs", "SF_OP stays BUSY after its first use: probe fails with -EAGAIN.")
    def hang(self) -> None:
        self.busy_polls = FOREVER

    @fault("flash-slow", "SF_OP is BUSY for nine polls after each operation: nothing fails.")
    def be_slow(self) -> None:
        self.busy_polls = POLLS - 1
