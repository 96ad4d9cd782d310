"""A tree of files like sysfs's, with PCI functions: for refusals, which need no hardware."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vmcoredd.chip.layout import u32s
from vmcoredd.chip.pci import (
    REGISTERS_BYTES,
    VENDOR_CHELSIO,
    ConfigHeader,
    PciCommand,
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
        (folder / "config").write_bytes(configuration(vendor, device, decoding=decoding))
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

    def vfio(self, *, idle_d3: bool = False) -> None:
        """Loads vfio-pci, which puts idle functions to sleep or not."""
        self.driver("vfio-pci")
        parameters = self.root / "module/vfio_pci/parameters"
        parameters.mkdir(parents=True)
        self._write(parameters, {"disable_idle_d3": "N" if idle_d3 else "Y"})

    def lockdown(self, text: str) -> None:
        """Says which lockdown mode the kernel is in."""
        folder = self.root / "kernel/security"
        folder.mkdir(parents=True)
        self._write(folder, {"lockdown": text})

    @staticmethod
    def _write(folder: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")


def configuration(vendor: int, device: int, *, decoding: bool = True) -> bytes:
    """Configuration space of 4096 bytes that has an id and the command register."""
    header = ConfigHeader()
    header.vendor, header.device = vendor, device
    header.command = PciCommand.MEMORY if decoding else 0
    return bytes(header).ljust(4096, b"\0")


def words(path: Path, offset: int, count: int) -> tuple[int, ...]:
    """Words of a file."""
    with path.open("rb") as file:
        return u32s(os.pread(file.fileno(), 4 * count, offset))
