"""PCIE: memory windows, the back door to configuration space, and what firmware says there."""

from __future__ import annotations

from chip.pci import CONFIG_BYTES, PF
from emu.config_space import ConfigSpace
from emu.core import WINDOWS, Window
from emu.ports import Index, When
from emu.silicon.model import Model, fault, writes

FUNCTIONS = 8
DEFAULT_WINDOW = (0x1B800, 2048)
"""Window 0 as every driver sets it up (t4_regs.h, MEMWIN0_BASE and MEMWIN0_APERTURE)."""
APERTURE_SHIFT = 10
"""PCIE_MEM_ACCESS_BASE_WIN.Window is the aperture's logarithm less this."""


class MemoryWindows(Model):
    """Eight apertures of BAR0 that show adapter memory."""

    def wire(self) -> None:
        offset, size = DEFAULT_WINDOW
        window = size.bit_length() - 1 - APERTURE_SHIFT
        base = self.r.PCIE_MEM_ACCESS_BASE_WIN
        self.words.plain(self.r.PCIE_MEM_ACCESS_OFFSET, PF)
        self.words.plain(
            base, base.of(PCIEOfst=offset >> base.field("PCIEOfst").shift, Window=window)
        )
        self.place()

    @writes("PCIE_MEM_ACCESS_BASE_WIN")
    def rebase(self, element: int, value: int) -> int:
        self.words.set(self.r.PCIE_MEM_ACCESS_BASE_WIN, value, element)
        self.place()
        return value

    def place(self) -> None:
        """Puts the windows where their base registers say."""
        windows = [self._window(number) for number in range(WINDOWS)]
        self.core.place_windows(windows, self.r.PCIE_MEM_ACCESS_OFFSET)

    def _window(self, number: int) -> Window | None:
        """A window that was never set up (0) or whose base is not in BAR0 is nowhere."""
        base = self.r.PCIE_MEM_ACCESS_BASE_WIN
        word = self.words.get(base, number)
        if not word or base.get(word, "BIR"):
            return None
        return Window(word & base.mask("PCIEOfst"), 1 << base.get(word, "Window") + APERTURE_SHIFT)

    def load(self, saved: None) -> None:
        self.place()

    @fault("window-unusable", "Memory window 0's base reads as all ones: nothing behind it.")
    def lose_window(self) -> None:
        self.words.set(self.r.PCIE_MEM_ACCESS_BASE_WIN, 0xFFFFFFFF)
        self.place()


class ConfigBackDoor(Model):
    """Every function's configuration space, by request through BAR0; only one function is there."""

    def make(self) -> None:
        self.space = self.words.table("pcie_config", rows=FUNCTIONS, width=CONFIG_BYTES // 4)
        self.space.fill(0, [0xFFFFFFFF] * self.space.count)
        first = PF * CONFIG_BYTES
        memory = memoryview(self.space.words).cast("B")[first : first + CONFIG_BYTES]
        self.config = ConfigSpace(memory, self.card)

    def wire(self) -> None:
        request = self.r.PCIE_CFG_SPACE_REQ
        registers = CONFIG_BYTES // 4
        self.ports.add(
            request,
            self.space,
            [Index(request, registers - 1, 2), Index.field(request, "PF", scale=registers)],
            self.r.PCIE_CFG_SPACE_DATA,
            when=When.set(request, "Enable"),
        )

    def reset(self) -> None:
        self.config.reset()

    def save(self) -> object:
        return self.config.save()

    def load(self, saved: object) -> None:
        self.config.load(saved)
