"""PCIE: memory windows, and configuration space through BAR0, with vital product data and errors of
the bus."""

from __future__ import annotations

import mmap
from typing import NamedTuple

from vmcoredd.chip import pci
from vmcoredd.chip.memory import MEMWIN0, NO_WINDOW, WINDOW_BASE_SHIFT
from vmcoredd.chip.pci import (
    CONFIG_BYTES,
    PF,
    PFS,
    Bar,
    Correctable,
    DeviceStatus,
    LinkSpeed,
    Uncorrectable,
)
from vmcoredd.chip.vpd import BASE, LARGE_TAG_BYTES, VERSION_ADDRESS, VERSION_BYTES, virtual_address
from vmcoredd.emu.config_space import ConfigSpace
from vmcoredd.emu.engine.trouble import Kind, Trouble
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.silicon.model import Model, fault, writes
from vmcoredd.emu.window import WINDOWS, Window

FOREVER = (1 << 64) - 1
"""The most polls that C can count."""
MALFORMED_HEADER = bytes.fromhex("01000060 0f000004 01000000 00100000")
"""Of a write of one double word whose byte enables want a second one; words little-endian."""


class Page(NamedTuple):
    """A page of BAR0 that clients may map: all that the file `fd` holds, at the same offset."""

    fd: int
    offset: int
    size: int


class MemoryWindows(Model):
    """Eight apertures of BAR0 that show adapter memory."""

    def make(self) -> None:
        self.mapped = self.blind = False

    def wire(self) -> None:
        base = self.r.PCIE_MEM_ACCESS_BASE_WIN
        self.spaces.plain(self.r.PCIE_MEM_ACCESS_OFFSET, PF)
        self.spaces.plain(base, base.reset)
        self.place()

    def map_page(self) -> Page:
        """Lets clients map the page of window 0, which can no longer be placed elsewhere."""
        self.mapped = True
        self.core.windows.map(MEMWIN0.number, self.r.PCIE_MEM_ACCESS_OFFSET)
        offset = MEMWIN0.base // mmap.PAGESIZE * mmap.PAGESIZE
        shared = self.core.memfds[Bar.REGISTERS].share(offset, mmap.PAGESIZE)
        doorbells, first = self.spaces.where(self.r.MYPF_SGE_PF_KDOORBELL)
        self.core.engine.c.shared_doorbells = doorbells.pointer(first)
        return Page(shared.fd, offset, mmap.PAGESIZE)

    @writes("PCIE_MEM_ACCESS_BASE_WIN")
    def rebase(self, element: int, value: int) -> int:
        """Moves a window of BAR0."""
        base = self.r.PCIE_MEM_ACCESS_BASE_WIN
        if self.mapped and element == MEMWIN0.number:
            return self.spaces.get(base, element)
        self.spaces.set(base, value, element)
        self.place()
        return value

    def place(self) -> None:
        """Moves all windows to the offsets in their base registers."""
        windows = [self._window(number) for number in range(WINDOWS)]
        self.core.windows.place(windows, self.r.PCIE_MEM_ACCESS_OFFSET)

    def _window(self, number: int) -> Window | None:
        """Returns a window of BAR0; None if it was not set up (0) or is not in BAR0."""
        base = self.r.PCIE_MEM_ACCESS_BASE_WIN
        word = self.spaces.get(base, number)
        if not word or base.get(word, "BIR"):
            return None
        return Window(
            word & base.mask("PCIEOfst"), 1 << base.get(word, "Window") + WINDOW_BASE_SHIFT
        )

    def save(self) -> bool:
        return self.blind

    def load(self, saved: bool) -> None:
        self.blind = saved
        self.core.windows.blind(MEMWIN0.number, blind=saved)
        self.place()

    @fault(
        "window-unusable",
        "The base of memory window 0 reads as all ones: the driver cannot use it.",
    )
    def lose_window(self) -> None:
        self.spaces.set(self.r.PCIE_MEM_ACCESS_BASE_WIN, NO_WINDOW)
        self.place()

    @fault(
        "window-all-ones",
        "Memory window 0 shows all ones, and what is written there is lost.",
    )
    def blind_window(self) -> None:
        self.blind = True
        self.core.windows.blind(MEMWIN0.number, blind=True)


class ConfigBackDoor(Model):
    """Each function's configuration space, read through BAR0; only one function is present."""

    def make(self) -> None:
        self.space = self.spaces.table("pcie_config", rows=PFS, width=CONFIG_BYTES // 4)
        self.space.fill(0, [0xFFFFFFFF] * self.space.count)
        first = PF * CONFIG_BYTES // 4
        self.config = ConfigSpace(self.core.c, self.space, first, self.scenario, self.core.bars)

    def wire(self) -> None:
        self.core.engine.listeners.append(self.meet)
        self.core.engine.c.pci_status = self.config.status
        request = self.r.PCIE_CFG_SPACE_REQ
        registers = CONFIG_BYTES // 4
        self.lookups.add(
            request,
            self.space,
            [Index(request, registers - 1, 2), Index.field(request, "PF", scale=registers)],
            self.r.PCIE_CFG_SPACE_DATA,
            when=When.set(request, "Enable"),
        )

    def meet(self, trouble: Trouble) -> None:
        """Reports a read of the host's memory that was answered with an unsupported request."""
        if trouble.kind is Kind.DMA_READ:
            self.config.receive_master_abort()
            self.fail_read()

    @writes("PCIE_PF_CLI")
    def clear_interrupt(self, element: int, value: int) -> int:
        """Takes INTx back: the driver has seen it (sge.c, t4_intr_intx())."""
        if element == PF:
            self.core.engine.clear_intx()
        return 0

    def reset(self) -> None:
        """Restores the power-on values of configuration space."""
        self.config.reset()

    def save(self) -> object:
        return self.config.save()

    def load(self, saved: object) -> None:
        self.config.load(saved)

    @fault("vpd-silent", "The VPD capability never has data ready: VPD_DATA times out.")
    def silence_vpd(self) -> None:
        self.config.vpd_polls = FOREVER

    @fault("vpd-slow", "The VPD capability has data ready at the second poll: nothing fails.")
    def slow_vpd(self) -> None:
        self.config.vpd_polls = 1

    @fault(
        "no-vpd", "There is no VPD capability: VPD_DATA fails with -19, as if there were no room."
    )
    def hide_vpd(self) -> None:
        self.config.lose_vpd()

    @fault("vpd-bad-checksum", "The VPD's checksum is wrong: VPD_DATA fails with -22.")
    def spoil_vpd(self) -> None:
        self.config.vpd[BASE + LARGE_TAG_BYTES] ^= 0x01

    @fault("vpd-no-version", "The VPD's version has no digits: VPD_DATA fails with -22.")
    def lose_vpd_version(self) -> None:
        at = virtual_address(VERSION_ADDRESS, PF)
        self.config.vpd[at : at + VERSION_BYTES] = b"xx"

    @fault(
        "pcie-completion-timeout",
        "The host did not answer a read: AER, DEV_STAT, PCIE_INT_CAUSE.",
        reports=True,
    )
    def get_no_answer(self) -> None:
        self._uncorrectable(Uncorrectable.COMPLETION_TIMEOUT, DeviceStatus.NONFATAL)
        self.interrupt("PCIE", self.r.PCIE_INT_CAUSE, "RdRspErr", "NonFatalErr")

    @fault(
        "pcie-malformed-packet",
        "The adapter received a malformed packet: AER with its header, DEV_STAT.",
        reports=True,
    )
    def receive_nonsense(self) -> None:
        self._uncorrectable(Uncorrectable.MALFORMED, DeviceStatus.FATAL, MALFORMED_HEADER)

    @fault(
        "pcie-correctable",
        "The bus had errors that were corrected: AER, DEV_STAT.",
        reports=True,
    )
    def repeat(self) -> None:
        for error in (Correctable.RECEIVER, Correctable.BAD_TLP, Correctable.REPLAY_TIMER):
            self.config.report(pci.ERR_COR_STATUS, error, DeviceStatus.CORRECTABLE)

    def _uncorrectable(self, error: Uncorrectable, seen: DeviceStatus, header: bytes = b"") -> None:
        self.config.report(pci.ERR_UNCOR_STATUS, error, seen, header)

    @fault(
        "pcie-read-error",
        "PCIE met an outbound read that failed: PCIE_INT_CAUSE, not fatal.",
        reports=True,
    )
    def fail_read(self) -> None:
        self.interrupt("PCIE", self.r.PCIE_INT_CAUSE, "RdRspErr")

    @fault("pcie-narrow-link", "The link has one lane of eight: LINK_STAT.", reports=True)
    def lose_lanes(self) -> None:
        self.config.train(width=1)

    @fault("pcie-slow-link", "The link runs at 2.5 GT/s instead of 8: LINK_STAT.", reports=True)
    def slow_down(self) -> None:
        self.config.train(speed=LinkSpeed.GT_2_5)
