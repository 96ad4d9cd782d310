"""The serial flash chip: sectors of bytes behind a command set, and what is programmed into it."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import SECTOR_BYTES, START, BootHeader, FirmwareHeader
from vmcoredd.emu.profile import Firmware

IMAGE_UNIT, IMAGE_BYTES = 512, 0x60000


def word_swapped(data: bytes) -> bytes:
    """Bytes as the driver stores firmware: the first byte of each word is its highest."""
    return b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))


def version(text: str) -> int:
    """`a.b.c.d` as one word, the first number highest."""
    return int.from_bytes(bytes(int(part) for part in text.split(".")), "big")


class Flash:
    """The bytes; erased ones are 0xff. Only sectors that hold something are kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._sectors: dict[int, bytearray] = {}

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes; addresses wrap at the end, as in the chip."""
        out = bytearray()
        while len(out) < length:
            sector, offset = divmod((address + len(out)) % self.size, SECTOR_BYTES)
            content = self._sectors.get(sector)
            n = min(length - len(out), SECTOR_BYTES - offset)
            out += content[offset : offset + n] if content else b"\xff" * n
        return bytes(out)

    def program(self, address: int, data: bytes) -> None:
        """Clears bits, as programming does."""
        for at, byte in enumerate(data, address):
            sector, offset = divmod(at % self.size, SECTOR_BYTES)
            content = self._sectors.setdefault(sector, bytearray(b"\xff" * SECTOR_BYTES))
            content[offset] &= byte

    def erase(self, address: int) -> None:
        """Erases the sector that `address` lies in."""
        self._sectors.pop(address % self.size // SECTOR_BYTES, None)

    def save(self) -> tuple[tuple[int, bytes], ...]:
        """The sectors that hold something."""
        return tuple((number, bytes(content)) for number, content in self._sectors.items())

    def load(self, saved: tuple[tuple[int, bytes], ...]) -> None:
        """Takes back what `save()` gave."""
        self._sectors = {number: bytearray(content) for number, content in saved}


def programmed(size: int, chip: Chip, firmware: Firmware) -> Flash:
    """A chip with the headers of boot ROM, firmware and bootstrap image in it; no code."""
    flash = Flash(size)
    flash.program(START["EXP_ROM"], _boot_rom(firmware))
    for part, number in (("FW", firmware.version), ("FWBOOTSTRAP", firmware.bootstrap)):
        flash.program(START[part], word_swapped(_header(chip, number, firmware.tp)))
    return flash


def _header(chip: Chip, number: str, microcode: str) -> bytes:
    """Interface versions stay 0: those Linux knows are 0 too, so any driver accepts the image."""
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
        )
    )


def _boot_rom(firmware: Firmware) -> bytes:
    head = BootHeader()
    head.hdr_arr[0], head.hdr_arr[1] = 0x55, 0xAA
    for i, part in enumerate(firmware.expansion_rom.split(".")):
        head.version[i] = int(part)
    return bytes(head)
