"""Traces a driver's accesses, one line each, with the names of registers and fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.hw.io import Counts, Io, SingleIo, Space

Out = Callable[[str], None]


class Traced(SingleIo):
    """An `Io` that makes one access at a time and passes `out` a line for each.

        R 0x07b50 CIM_HOST_ACC_CTRL = 0x00010140 HostWrite=1 HostAddr=0x140

    Fields that are 0 are omitted. The first access reads the device id to identify the chip.
    """

    def __init__(self, io: Io, out: Out) -> None:
        self._io, self._out = io, out
        self._chip: Chip | None = None
        self.config: Space = TracedConfig(io.config, out)

    @property
    def counts(self) -> Counts:
        """The accesses to BAR0 so far."""
        return replace(self._io.counts, timeouts=self.timeouts)

    def read(self, offset: int, width: int = 4) -> int:
        """Returns a register of 4 or 8 bytes."""
        value = self._io.read(offset, width)
        self._print("R", offset, value, width)
        return value

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes a register of 4 or 8 bytes."""
        self._print("W", offset, value, width)
        self._io.write(offset, value, width)

    def check_alive(self) -> None:
        """Checks without a line: the kernel's driver does not make this access."""
        self._io.check_alive()

    def _print(self, kind: str, offset: int, value: int, width: int) -> None:
        if self._chip is None:
            self._chip = chip_of_device(self._io.config.read(0) >> 16)
        found = self._chip.r.at(offset)
        name, fields = "", ""
        if found:
            name = f" {found}"
            decoded = found.register.decode(value) if width == 4 else {}
            fields = "".join(f" {field}={_short(n)}" for field, n in decoded.items() if n)
        self._out(f"{kind} {offset:#07x}{name} = {value:#0{2 * width + 2}x}{fields}")


class TracedConfig(SingleIo):
    """A `Space` that traces configuration space, without names."""

    def __init__(self, config: Space, out: Out) -> None:
        self._config, self._out = config, out

    def read(self, offset: int, width: int = 4) -> int:
        """Returns a word."""
        value = self._config.read(offset, width)
        self._out(f"R config {offset:#05x} = {value:#010x}")
        return value

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes a word."""
        self._out(f"W config {offset:#05x} = {value:#010x}")
        self._config.write(offset, value, width)


def traced(io: Io, out: Out = print) -> Traced:
    """Wraps `io`, so that `out` receives a line for each access."""
    return Traced(io, out)


def _short(number: int) -> str:
    return str(number) if number < 10 else f"{number:#x}"
