"""Probes an adapter in the order of the kernel's init_one(), up to the point of the dump.

Each step is a small function whose docstring names the kernel's. No step talks to the firmware,
since the dump must show what the crash left. Takes 13 accesses to BAR0, unless the flash is busy.

The first step is the PCI core's: it reads the ids when it finds a device, and calls init_one() only
for those in the driver's table. So nothing of a device that is not an adapter is read but its ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.chip.flash import flash_bytes
from vmcoredd.chip.pci import (
    COMP_TIMEOUT_17S_64S,
    COMP_TIMEOUT_MASK,
    EXP_DEVCTL,
    EXP_DEVCTL2,
    EXP_LNKSTA,
    PF,
    PRODUCTS,
    RELAX_EN,
    VENDOR_CHELSIO,
    WHOAMI,
    Cap,
    ConfigHeader,
    PciCommand,
    product_of,
)
from vmcoredd.driver.errors import ProbeError
from vmcoredd.hw.device import AdapterFlag, Device
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.flash import Flash
from vmcoredd.hw.io import Io
from vmcoredd.hw.pci import find_capability, update_register

_ID, _COMMAND = ConfigHeader.vendor.offset, ConfigHeader.command.offset
_NO_DEVICE = 0xFFFFFFFF
_NO_ACCESS = (0xFFFFFFFF, 0xEEEEEEEE)  # a dead adapter's value; CIM_PF_NOACCESS
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Probed:
    """An adapter that is ready for its dump."""

    device: Device
    device_id: int
    flash_id: int
    link: tuple[int, int] | None
    """Generation and width (lanes) of the PCIe link; None without an Express capability."""

    @property
    def product(self) -> str:
        """The card's product name, or its device id if that is unknown."""
        return PRODUCTS.get(product_of(self.device_id), f"device {self.device_id:#06x}")


def probe(io: Io, sleep: Callable[[float], None] = time.sleep, *, configure: bool = True) -> Probed:
    """Probes an adapter; `sleep` takes seconds.

    Without `configure` it leaves out the steps that write to configuration space: the function
    answers already, and a dump needs neither bus mastering nor another completion time-out. Raises
    `ProbeError` if a step fails, or `DeadDevice` if the transport fails.
    """
    read_device_id(io)
    if configure:
        enable_device(io)
    wait_dev_ready(io, sleep)
    chip, pf = identify(io)
    if configure:
        set_master(io)
    flags = relaxed_ordering(io)
    link = pci_mode(io)
    revision = chip.r.PL_REV.get(io.read(chip.r.PL_REV), "Rev")
    flash_id = identify_flash(io, chip)
    device_id = read_device_id(io)
    if configure:
        set_completion_timeout(io)
    device = Device(chip, revision, pf, flash_bytes=flash_bytes(flash_id), flags=flags)
    return Probed(device, device_id, flash_id, link)


def enable_device(io: Io) -> None:
    """Enables memory accesses, as pci_enable_device()."""
    update_register(io.config, _COMMAND, clear=0, set_=PciCommand.MEMORY)


def set_master(io: Io) -> None:
    """Enables bus mastering, as pci_set_master()."""
    update_register(io.config, _COMMAND, clear=0, set_=PciCommand.MASTER)


def wait_dev_ready(io: Io, sleep: Callable[[float], None]) -> None:
    """Waits for the adapter (t4_wait_dev_ready()). PL_WHOAMI has one address for both chips."""
    if io.read(WHOAMI) not in _NO_ACCESS:
        return
    sleep(_RETRY_SECONDS)
    if (word := io.read(WHOAMI)) in _NO_ACCESS:
        raise ProbeError("t4_wait_dev_ready", f"PL_WHOAMI is {word:#x}: the adapter is gone")


def identify(io: Io) -> tuple[Chip, int]:
    """Returns the chip and the function number (init_one(), t4_get_chip_type())."""
    whoami = io.read(WHOAMI)
    chip = chip_of_device(read_device_id(io))
    io.read(chip.r.PL_REV)
    pf = chip.r.PL_WHOAMI.get(whoami, "SourcePF")
    if pf != PF:
        raise ProbeError("init_one", f"function {pf} is not the driver's, which is {PF}")
    return chip, pf


def read_device_id(io: Io) -> int:
    """Returns the device id. Raises `ProbeError` unless it is a T5's or a T6's (cxgb4_pci_tbl)."""
    word = io.config.read(_ID)
    vendor, device_id = word & 0xFFFF, word >> 16
    if word == _NO_DEVICE:
        raise ProbeError("cxgb4_pci_tbl", "no device answers: its configuration space is all ones")
    device = f"the device is {vendor:#06x}:{device_id:#06x}"
    if vendor != VENDOR_CHELSIO:
        raise ProbeError("cxgb4_pci_tbl", f"{device}, not a Chelsio adapter")
    try:
        chip_of_device(device_id)
    except ValueError:
        why = f"{device}, Chelsio's, but neither a T5 nor a T6"
        raise ProbeError("cxgb4_pci_tbl", why) from None
    return device_id


def relaxed_ordering(io: Io) -> AdapterFlag:
    """Returns the flags of an enabled device: ROOT_NO_RELAXED_ORDERING is set if relaxed ordering
    is off (init_one(), pcie_relaxed_ordering_enabled())."""
    capability = find_capability(io.config, Cap.EXP)
    if capability is not None and io.config.read(capability + EXP_DEVCTL) & RELAX_EN:
        return AdapterFlag.DEV_ENABLED
    return AdapterFlag.DEV_ENABLED | AdapterFlag.ROOT_NO_RELAXED_ORDERING


def pci_mode(io: Io) -> tuple[int, int] | None:
    """Returns generation and width of the link (get_pci_mode())."""
    capability = find_capability(io.config, Cap.EXP)
    if capability is None:
        return None
    status = io.config.read(capability + EXP_LNKSTA & ~3) >> 8 * (EXP_LNKSTA & 3)
    return status & 0xF, status >> 4 & 0x3F


def identify_flash(io: Io, chip: Chip) -> int:
    """Returns the flash's JEDEC id (t4_get_flash_params()). Raises `ProbeError` if it is busy."""
    try:
        return Flash(io, chip).identify()
    except DeadDevice:
        raise
    except DeviceError as error:
        raise ProbeError("t4_get_flash_params", str(error)) from error


def set_completion_timeout(io: Io) -> None:
    """Sets the PCIe completion timeout, the last step of t4_prep_adapter()."""
    capability = find_capability(io.config, Cap.EXP)
    if capability is not None:
        update_register(
            io.config, capability + EXP_DEVCTL2, COMP_TIMEOUT_MASK, COMP_TIMEOUT_17S_64S
        )
