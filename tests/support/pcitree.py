"""A tree of files like sysfs's, with PCI functions: for refusals, which need no hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vmcoredd.chip.layout import sizeof, u32s
from vmcoredd.chip.pci import (
    REGISTERS_BYTES,
    VENDOR_CHELSIO,
    Cap,
    ConfigHeader,
    PciCommand,
    PmCap,
    device_id,
)

T6 = device_id(0x600D)
ADDRESS = "0000:01:00.4"


@dataclass
class PciTree:
    """The tree at `root`; `function` adds one."""

    root: Path
    functions: dict[str, Path] = field(default_factory=dict)

    def function(
        self,
        address: str = ADDRESS,
        *,
        vendor: int = VENDOR_CHELSIO,
        device: int = T6,
        driver: str = "",
        interface: str = "",
        decoding: bool = True,
        power: str = "D0",
        sleeps: PmCap | None = None,
        size: int = REGISTERS_BYTES,
        resets: str | None = "flr bus",
        group: str = "",
    ) -> Path:
        """Makes a function's folder, and returns it."""
        folder = self.root / "bus/pci/devices" / address
        folder.mkdir(parents=True)
        end = 0xF0000000 + size - 1 if size else 0
        self._write(
            folder,
            {
                "vendor": f"{vendor:#06x}",
                "device": f"{device:#06x}",
                "enable": "0",
                "power_state": power,
                "resource": f"{0xF0000000 if size else 0:#018x} {end:#018x} {0x40200:#018x}",
            },
        )
        (folder / "reset").touch()
        if resets is not None:
            (folder / "reset_method").write_text(f"{resets}\n")
        space = configuration(vendor, device, decoding=decoding, power=sleeps)
        (folder / "config").write_bytes(space)
        (folder / "resource0").write_bytes(bytes(size))
        if driver:
            self.driver(driver)
            (folder / "driver").symlink_to(self.root / "bus/pci/drivers" / driver)
        if interface:
            (folder / "net" / interface).mkdir(parents=True)
        if group:
            made = self.root / "kernel/iommu_groups" / group
            made.mkdir(parents=True)
            (made / "name").write_text("vfio-noiommu\n")
            (folder / "iommu_group").symlink_to(made)
        self.functions[address] = folder
        return folder

    def driver(self, name: str) -> None:
        """Makes a driver's folder."""
        (self.root / "bus/pci/drivers" / name).mkdir(parents=True, exist_ok=True)

    def vfio(
        self, *, idle_d3: bool = False, built_in: bool = False, without_iommu: bool | None = True
    ) -> None:
        """Loads vfio-pci, which puts idle functions to sleep or not.

        `without_iommu`: whether VFIO does without an IOMMU; None if its kernel cannot.
        """
        self.driver("vfio-pci")
        made = [self.root / "module" / name / "parameters" for name in ("vfio_pci", "vfio")]
        for parameters in made:
            parameters.mkdir(parents=True)
        self._write(made[0], {"disable_idle_d3": "N" if idle_d3 else "Y"})
        if without_iommu is not None:
            self._write(made[1], {"enable_unsafe_noiommu_mode": "Y" if without_iommu else "N"})
        if not built_in:
            (made[0].parent / "initstate").write_text("live\n")

    def lockdown(self, text: str) -> None:
        """Says which lockdown mode the kernel is in."""
        folder = self.root / "kernel/security"
        folder.mkdir(parents=True)
        self._write(folder, {"lockdown": text})

    @staticmethod
    def _write(folder: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")


def configuration(
    vendor: int, device: int, *, decoding: bool = True, power: PmCap | None = None
) -> bytes:
    """Configuration space of 4096 bytes: an id, the command register, a capability if given."""
    header = ConfigHeader()
    header.vendor, header.device = vendor, device
    header.command = PciCommand.MEMORY if decoding else 0
    if power:
        power.id = Cap.PM
        header.capability_list = sizeof(ConfigHeader)
    return (bytes(header) + bytes(power or b"")).ljust(4096, b"\0")


def words(path: Path, offset: int, count: int) -> tuple[int, ...]:
    """Words of a file."""
    with path.open("rb") as file:
        return u32s(os.pread(file.fileno(), 4 * count, offset))
