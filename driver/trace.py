"""What a driver does to a card, one line per access, in the names of the registers."""

from __future__ import annotations

from collections.abc import Callable

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.hw.io import Counts, Io, SingleIo, Space

Out = Callable[[str], None]


class Traced(SingleIo):
    """An `Io` that tells `out` each access and then makes it, one after the other.

        R 0x07b50 CIM_HOST_ACC_CTRL = 0x00010140 HostWrite=1 HostAddr=0x140

    Fields that are 0 are left out. The chip is asked from configuration space at the first access.
    """

    def __init__(self, io: Io, out: Out) -> None:
        self._io, self._out = io, out
        self._chip: Chip | None = None
        self.config: Space = TracedConfig(io.config, out)

    @property
    def counts(self) -> Counts:
        """The accesses so far."""
        return self._io.counts

    def read(self, offset: int, width: int = 4) -> int:
        """One register of 4 or 8 bytes."""
        value = self._io.read(offset, width)
        self._tell("R", offset, value, width)
        return value

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """One register of 4 or 8 bytes."""
        self._tell("W", offset, value, width)
        self._io.write(offset, value, width)

    def _tell(self, kind: str, offset: int, value: int, width: int) -> None:
        if self._chip is None:
            self._chip = chip_of_device(self._io.config.read(0) >> 16)
        place = self._chip.r.at(offset)
        name, fields = "", ""
        if place:
            name = f" {place}"
            decoded = place.register.decode(value) if width == 4 else {}
            fields = "".join(f" {field}={_short(n)}" for field, n in decoded.items() if n)
        self._out(f"{kind} {offset:#07x}{name} = {value:#0{2 * width + 2}x}{fields}")


class TracedConfig(SingleIo):
    """The same for configuration space, whose words have no names here."""

    def __init__(self, config: Space, out: Out) -> None:
        self._config, self._out = config, out

    def read(self, offset: int, width: int = 4) -> int:
        """One word."""
        value = self._config.read(offset, width)
        self._out(f"R config {offset:#05x} = {value:#010x}")
        return value

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """One word."""
        self._out(f"W config {offset:#05x} = {value:#010x}")
        self._config.write(offset, value, width)


def traced(io: Io, out: Out = print) -> Traced:
    """`io` with every access told to `out`."""
    return Traced(io, out)


def _short(number: int) -> str:
    return str(number) if number < 10 else f"{number:#x}"
