"""The content of the serial flash: sectors, and the images programmed into them."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import (
    RESETS_AFTER_HALT,
    SECTOR_BYTES,
    START,
    BootHeader,
    FirmwareHeader,
)
from vmcoredd.emu.profile import FirmwareInfo

IMAGE_UNIT, IMAGE_BYTES = 512, 0x60000


def word_swapped(data: bytes) -> bytes:
    """Returns bytes as the driver stores firmware: each word's highest byte first."""
    return b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))


def version(text: str) -> int:
    """Returns `a.b.c.d` as one word; the first number is the highest byte."""
    return int.from_bytes(bytes(int(part) for part in text.split(".")), "big")


class FlashMemory:
    """`size` bytes; erased bytes are 0xff. Only programmed sectors take memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._sectors: dict[int, bytearray] = {}

    def read(self, address: int, length: int) -> bytes:
        """Returns `length` bytes; addresses wrap at the end, as in the chip."""
        out = bytearray()
        while len(out) < length:
            sector, offset = divmod((address + len(out)) % self.size, SECTOR_BYTES)
            content = self._sectors.get(sector)
            n = min(length - len(out), SECTOR_BYTES - offset)
            out += content[offset : offset + n] if content else b"\xff" * n
        return bytes(out)

    def program(self, address: int, data: bytes) -> None:
        """Programs bytes: bits can only change from 1 to 0."""
        for at, byte in enumerate(data, address):
            sector, offset = divmod(at % self.size, SECTOR_BYTES)
            content = self._sectors.setdefault(sector, bytearray(b"\xff" * SECTOR_BYTES))
            content[offset] &= byte

    def erase(self, address: int) -> None:
        """Erases the sector that contains `address`."""
        self._sectors.pop(address % self.size // SECTOR_BYTES, None)

    def save(self) -> tuple[tuple[int, bytes], ...]:
        """Returns the programmed sectors."""
        return tuple((number, bytes(content)) for number, content in self._sectors.items())

    def load(self, saved: tuple[tuple[int, bytes], ...]) -> None:
        """Restores what `save()` returned."""
        self._sectors = {number: bytearray(content) for number, content in saved}


def programmed(size: int, chip: Chip, firmware: FirmwareInfo) -> FlashMemory:
    """Returns a flash with the headers of boot ROM, firmware and bootstrap image, without code."""
    flash = FlashMemory(size)
    flash.program(START["EXP_ROM"], _boot_rom(firmware))
    for part, number in (("FW", firmware.version), ("FWBOOTSTRAP", firmware.bootstrap)):
        flash.program(START[part], word_swapped(_header(chip, number, firmware.tp)))
    return flash


def _header(chip: Chip, number: str, microcode: str) -> bytes:
    """Returns an image's header. Its interface versions are 0, so that any driver accepts it."""
    major, minor, micro, build = (int(part) for part in number.split("."))
    return bytes(
        FirmwareHeader(
            ver=1,
            chip=chip.firmware_code,
            len512=IMAGE_BYTES // IMAGE_UNIT,
            major=major,
            minor=minor,
            micro=micro,
            build=build,
            tp_microcode_ver=version(microcode),
            flags=RESETS_AFTER_HALT,
        )
    )


def _boot_rom(firmware: FirmwareInfo) -> bytes:
    head = BootHeader()
    head.hdr_arr[0], head.hdr_arr[1] = 0x55, 0xAA
    for i, part in enumerate(firmware.expansion_rom.split(".")):
        head.version[i] = int(part)
    return bytes(head)
