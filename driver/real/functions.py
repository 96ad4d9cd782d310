"""The Chelsio functions of this machine, as sysfs shows them, and why one cannot be dumped.

Reading these files does not touch a function's registers. Sources: Documentation/ABI/testing/
sysfs-bus-pci, drivers/pci/pci-sysfs.c, drivers/vfio/pci/vfio_pci_core.c.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vmcoredd.chip import Chip, chip_of_device
from vmcoredd.chip.pci import PF, PRODUCTS, REGISTERS_BYTES, VENDOR_CHELSIO, Bar, product_of
from vmcoredd.driver.real.errors import NoSuchFunction, Refused

SYSFS = Path("/sys")
DEVICES = "bus/pci/devices"
"""Where in sysfs the PCI functions of a machine are, a folder each."""
ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
"""Domain, bus, slot, function: `0000:01:00.4`."""
DRIVER, VFIO_DRIVER = "cxgb4", "vfio-pci"
ASLEEP = ("D1", "D2", "D3hot", "D3cold")
"""The states of power in which a function's registers cannot be read, the first three in the order
of their numbers in configuration space."""
NO_IOMMU = "vfio-noiommu"
"""The name of the IOMMU group that vfio-pci makes where there is no IOMMU."""


@dataclass(frozen=True)
class Function:
    """A PCI function; `folder` is its own in sysfs."""

    address: str
    folder: Path
    root: Path
    """Where sysfs is."""

    def text(self, name: str) -> str:
        """Returns the content of one of its files, stripped; empty if there is none."""
        try:
            return (self.folder / name).read_text(errors="replace").strip("\0 \n")
        except OSError:
            return ""

    def _number(self, name: str) -> int:
        try:
            return int(self.text(name), 0)
        except ValueError:
            return 0

    @cached_property
    def vendor(self) -> int:
        """The vendor's id."""
        return self._number("vendor")

    @cached_property
    def device_id(self) -> int:
        """The device's id."""
        return self._number("device")

    @property
    def chip(self) -> Chip | None:
        """The chip; None if it is neither a T5 nor a T6."""
        try:
            return chip_of_device(self.device_id)
        except ValueError:
            return None

    @property
    def product(self) -> str:
        """The card's product name; empty if it is not known."""
        return PRODUCTS.get(product_of(self.device_id), "")

    @property
    def is_drivers(self) -> bool:
        """Whether it is the function that the driver uses, and a dump is taken of."""
        return self.chip is not None and self.device_id >> 8 & 0xF == PF

    @property
    def driver(self) -> str:
        """The driver that it is bound to; empty if there is none."""
        link = self.folder / "driver"
        return link.resolve().name if link.is_symlink() else ""

    @property
    def interfaces(self) -> list[str]:
        """The names of its network interfaces."""
        folder = self.folder / "net"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    @property
    def power_state(self) -> str:
        """`D0`, `D3hot`, ...; `unknown` without a driver; empty if this kernel does not tell."""
        return self.text("power_state")

    @property
    def reset_methods(self) -> list[str]:
        """How the kernel may reset it, in its order; empty if resets are off."""
        return self.text("reset_method").split()

    @property
    def iommu_group(self) -> str:
        """The name of its group in /dev/vfio: `7`, or `noiommu-0`; empty if it has none."""
        link = self.folder / "iommu_group"
        if not link.is_symlink():
            return ""
        without = self.text("iommu_group/name") == NO_IOMMU
        return f"{'noiommu-' if without else ''}{link.resolve().name}"

    @property
    def registers_bytes(self) -> int:
        """The size of BAR0; 0 if it has no address."""
        lines = self.text("resource").splitlines()
        words = lines[Bar.REGISTERS].split() if lines else []
        try:
            start, end = (int(word, 16) for word in words[:2])
        except ValueError:
            return 0
        return end - start + 1 if end else 0


def functions(root: Path = SYSFS) -> list[Function]:
    """Returns Chelsio's functions of this machine, in the order of their addresses."""
    folder = root / DEVICES
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    all_of_them = (Function(path.name, path, root) for path in found)
    return [function for function in all_of_them if function.vendor == VENDOR_CHELSIO]


def whole_address(address: str) -> str:
    """Returns a PCI address as Linux writes it, with its domain. Raises ValueError."""
    parts = ADDRESS.fullmatch(address.lower())
    if not parts:
        raise ValueError(f"{address!r} is no PCI address such as 0000:01:00.4")
    domain, bus, slot, function = parts.groups()
    return f"{domain or '0000'}:{bus}:{slot}.{function}"


def find_function(address: str, root: Path = SYSFS) -> Function:
    """Returns the function at an address, whose domain may be left out.

    Raises NoSuchFunction if there is none or it is not Chelsio's, and ValueError for what is no
    address.
    """
    whole = whole_address(address)
    folder = root / DEVICES / whole
    if not folder.is_dir():
        raise NoSuchFunction(whole, "there is no such PCI function", LIST)
    function = Function(whole, folder, root)
    if function.vendor != VENDOR_CHELSIO:
        what = f"the device is {function.vendor:#06x}:{function.device_id:#06x}, not Chelsio's"
        raise NoSuchFunction(whole, what, LIST)
    return function


LIST = "`vmcoredd cards --present` lists Chelsio's functions"


def check_for(function: Function, via: str, *, in_use: bool = False) -> None:
    """Raises the first reason why a function cannot be dumped `via` a transport's name."""
    for refusal in refusals(function, via, in_use=in_use):
        raise refusal


def refusals(function: Function, via: str, *, in_use: bool = False) -> Iterator[Refused]:
    """Yields why a function cannot be dumped `via` sysfs or vfio, worst first, from files alone.

    With `in_use`, a driver that owns it is no reason.
    """
    yield from _kind(function)
    if via == "sysfs":
        yield from _owner(function, in_use)
    else:
        yield from _vfio(function)
    yield from _state(function)
    for name in ("config", *["resource0"] * (via == "sysfs")):
        if not os.access(function.folder / name, os.R_OK | os.W_OK):
            yield no_rights(function, function.folder / name)


def no_rights(function: Function, path: Path) -> Refused:
    """Returns the refusal of a user who may not open a file."""
    return Refused(function.address, f"no right to open {path}", "run it as root")


def _kind(function: Function) -> Iterator[Refused]:
    chip = function.chip
    if chip is None:
        why = f"device {function.device_id:#06x} is neither a T5 nor a T6"
        yield Refused(function.address, why, "only these can be dumped")
    elif not function.is_drivers:
        why = f"device {function.device_id:#06x} is not the function that a dump is taken of"
        yield Refused(function.address, why, _sibling(function))


def _sibling(function: Function) -> str:
    slot = function.address.rpartition(".")[0]
    for other in functions(function.root):
        if other.is_drivers and other.address.startswith(f"{slot}."):
            return f"that is {other.address}"
    return f"that has a device id 0x{function.device_id >> 12:x}{PF}xx, as a rule {slot}.{PF}"


def _owner(function: Function, in_use: bool) -> Iterator[Refused]:
    driver = function.driver
    if not driver or in_use:
        return
    if driver == VFIO_DRIVER:
        yield Refused(function.address, f"bound to {driver}", "use --via vfio, or unbind it")
        return
    why = (
        f"bound to {driver}: the adapter's index registers and its mailbox have one owner, and "
        "most kernels forbid to map what a driver uses"
    )
    unbind = f"unbind it: echo {function.address} >{function.root}/bus/pci/drivers/{driver}/unbind"
    names = function.interfaces
    if driver == DRIVER and names:
        name = names[0]
        unbind = (
            f"`ethtool -W {name} 3; ethtool -w {name} data FILE` dumps it as it is; or {unbind}"
        )
    yield Refused(function.address, why, unbind)


def _vfio(function: Function) -> Iterator[Refused]:
    address, root = function.address, function.root
    loaded = "modprobe vfio-pci disable_idle_d3=1"
    if not (root / "bus/pci/drivers" / VFIO_DRIVER).is_dir():
        yield Refused(
            address, f"{VFIO_DRIVER} is not loaded", f"`{loaded}`, then {_bind(function)}"
        )
        return
    module = root / "module/vfio_pci"
    if not _is_on(module / "parameters/disable_idle_d3"):
        why = (
            f"{VFIO_DRIVER} may put the function to sleep (disable_idle_d3 is off), and waking it "
            "can reset it"
        )
        how = f"`modprobe -r vfio-pci; {loaded}`, then bind it again"
        if not (module / "initstate").exists():
            how = "it is built in: boot with vfio-pci.disable_idle_d3=1"
        yield Refused(address, why, how)
    bound = function.driver == VFIO_DRIVER
    without = root / "module/vfio/parameters/enable_unsafe_noiommu_mode"
    if not function.iommu_group and (bound or not _is_on(without)):
        yield _no_group(function, without)
    if not bound:
        owner = f"bound to {function.driver}" if function.driver else "bound to no driver"
        yield Refused(address, f"{owner}, not to {VFIO_DRIVER}", _bind(function))


def _no_group(function: Function, without: Path) -> Refused:
    """Returns the refusal of a function that no IOMMU has, where `without` does not say yes."""
    how = "this kernel's VFIO cannot do without (CONFIG_VFIO_NOIOMMU)"
    if without.exists():
        how = f"or do without: echo 1 >{without}, then bind it"
    how = f"boot with the machine's IOMMU on (intel_iommu=on); {how}; or use --via sysfs"
    return Refused(function.address, "it has no IOMMU group", how)


def _bind(function: Function) -> str:
    """Returns what to type to bind a function to vfio-pci."""
    bus, address = f"{function.root}/bus/pci", function.address
    unbind = f"echo {address} >{bus}/drivers/{function.driver}/unbind; " if function.driver else ""
    return (
        f"bind it: {unbind}echo {VFIO_DRIVER} >{function.folder}/driver_override; "
        f"echo {address} >{bus}/drivers_probe"
    )


def _is_on(parameter: Path) -> bool:
    """Returns whether a module's parameter says yes."""
    try:
        return parameter.read_text().strip() in ("Y", "1")
    except OSError:
        return False


def _state(function: Function) -> Iterator[Refused]:
    address = function.address
    if function.power_state in ASLEEP:
        how = f"echo on >{function.folder}/power/control wakes it"
        lost = "a function that resets itself by that loses its state"
        yield sleeping(function, function.power_state, f"{how}; {lost}")
    if not function.registers_bytes:
        how = f"echo 1 >{function.folder}/remove; echo 1 >{function.root}/bus/pci/rescan"
        yield Refused(address, "BAR0 has no address", f"the kernel may find one: {how}")
    elif function.registers_bytes < REGISTERS_BYTES:
        why = f"the size of BAR0 is {function.registers_bytes:#x}, not {REGISTERS_BYTES:#x}"
        yield Refused(address, why, "this is no adapter that can be dumped")
    mode = lockdown(function.root)
    if mode:
        why = f"the kernel is locked down ({mode}): no program may map a device's registers"
        how = "boot without Secure Boot or `lockdown=`, or dump it in the crash kernel (kdump)"
        yield Refused(address, why, how)


def sleeping(function: Function, state: str, remedy: str) -> Refused:
    """Returns the refusal of a function that is in one of the states ASLEEP."""
    why = f"the function sleeps ({state}): its registers cannot be read"
    return Refused(function.address, why, remedy)


def lockdown(root: Path = SYSFS) -> str:
    """Returns the kernel's lockdown mode; empty if there is none."""
    try:
        text = (root / "kernel/security/lockdown").read_text()
    except OSError:
        return ""
    found = re.search(r"\[(\w+)\]", text)
    return found[1] if found and found[1] != "none" else ""
