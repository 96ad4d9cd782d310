"""The transport `vfio`: the kernel's VFIO, by the function's IOMMU group, or without an IOMMU.

Whoever opens a function of vfio-pci has the kernel reset it, which destroys the state that a dump
is to show. So its ways to be reset (the file `reset_method`) are taken away while it is open, and
put back afterwards. Numbers and structures: include/uapi/linux/vfio.h.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import NamedTuple

from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.real.functions import SYSFS, Function, no_rights
from vmcoredd.driver.real.mapped import ConfigFile, MappedBar
from vmcoredd.driver.real.transport import DMESG, RealTransport, Spaces, opened

log = logging.getLogger(__name__)

DEV = Path("/dev")
MODPROBE = "`modprobe vfio`"
RESETS_NOTHING = "use --via sysfs, which resets nothing"
_FIRST = ord(";") << 8 | 100
"""_IO(VFIO_TYPE, VFIO_BASE)."""


class Request(IntEnum):
    """ioctl numbers."""

    SET_IOMMU = _FIRST + 2
    GROUP_GET_STATUS = _FIRST + 3
    GROUP_SET_CONTAINER = _FIRST + 4
    GROUP_GET_DEVICE_FD = _FIRST + 6
    DEVICE_GET_REGION_INFO = _FIRST + 8


class Iommu(IntEnum):
    """Kinds of IOMMU that a container may have."""

    TYPE1V2 = 3
    NOIOMMU = 8


class RegionFlag(IntFlag):
    """Flags of struct vfio_region_info."""

    READ = 1
    WRITE = 2
    MMAP = 4


GROUP_VIABLE = 1
REGION_INFO = struct.Struct("=IIIIQQ")
"""argsz, flags, index, cap_offset, size, offset."""
GROUP_STATUS = struct.Struct("=II")
"""argsz, flags."""
BAR0, CONFIG = 0, 7
"""VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX."""


class Region(NamedTuple):
    """A region of a device's file."""

    flags: RegionFlag
    size: int
    offset: int


class Vfio(RealTransport):
    """A function that is bound to vfio-pci, whose files are in `dev`; see RealTransport."""

    via = "vfio"

    def __init__(self, address: str, *, root: Path = SYSFS, dev: Path = DEV) -> None:
        self._dev = dev
        super().__init__(address, root=root)

    @contextmanager
    def _opened(self, config: ConfigFile) -> Iterator[Spaces]:
        function = self.function
        with resets_off(function), _device(function, self._dev / "vfio") as device:
            with _refusing(function):
                bar0, space = region(device, BAR0), region(device, CONFIG)
            config = ConfigFile(device, space.size, space.offset)
            _decode(config)
            with closing(_mapped(function, device, bar0)) as mapped:
                yield mapped, config


def _decode(config: ConfigFile) -> None:
    """Switches memory decoding on, in case the kernel has not; it restores it at the end."""
    at = ConfigHeader.command.offset
    command = config.read(at, width=2)
    if not command & PciCommand.MEMORY:
        config.write(at, command | PciCommand.MEMORY, width=2)


def _mapped(function: Function, device: int, bar0: Region) -> MappedBar:
    if not bar0.flags & RegionFlag.MMAP:
        why = "the kernel does not let BAR0 be mapped through VFIO"
        raise Refused(function.address, why, "use --via sysfs")
    try:
        return MappedBar(device, bar0.size, bar0.offset)
    except OSError as error:
        why = f"BAR0 cannot be mapped: {error.strerror}"
        raise Refused(function.address, why, DMESG) from error


@contextmanager
def resets_off(function: Function) -> Iterator[None]:
    """Takes away a function's ways to be reset while the context is open. Raises Refused."""
    path = function.folder / "reset_method"
    if not path.exists() and not (function.folder / "reset").exists():
        yield  # the kernel has no way to reset this function
        return
    if not path.exists():
        why = "its resets cannot be switched off: this kernel has no reset_method (Linux 5.15)"
        raise Refused(function.address, why, RESETS_NOTHING)
    before = function.reset_methods
    try:
        path.write_text("\n")
    except PermissionError as error:
        raise no_rights(function, path) from error
    except OSError as error:
        why = f"its resets cannot be switched off: {error.strerror}"
        raise Refused(function.address, why, RESETS_NOTHING) from error
    try:
        if left := function.reset_methods:
            why = f"its resets stay on: {' '.join(left)}"
            raise Refused(function.address, why, RESETS_NOTHING)
        yield
    finally:
        if before:
            _put_back(function, path, before)


def _put_back(function: Function, path: Path, methods: list[str]) -> None:
    try:
        path.write_text(" ".join(methods) + "\n")
    except OSError as error:
        log.warning("%s: echo %s >%s", function.address, " ".join(methods), path, exc_info=error)


@contextmanager
def _device(function: Function, folder: Path) -> Iterator[int]:
    """Opens the container, the group and the device; yields the device's descriptor."""
    with (
        opened(function, folder / "vfio", MODPROBE) as container,
        opened(function, folder / function.iommu_group, MODPROBE) as group,
    ):
        with _refusing(function):
            _check_group(function, group)
            fcntl.ioctl(group, Request.GROUP_SET_CONTAINER, struct.pack("=i", container))
            without = function.iommu_group.startswith("noiommu-")
            kind = Iommu.NOIOMMU if without else Iommu.TYPE1V2
            fcntl.ioctl(container, Request.SET_IOMMU, int(kind))
            name = function.address.encode() + b"\0"
            device = fcntl.ioctl(group, Request.GROUP_GET_DEVICE_FD, bytearray(name))
        try:
            yield device
        finally:
            os.close(device)


@contextmanager
def _refusing(function: Function) -> Iterator[None]:
    """Reports what the kernel refuses in the context."""
    try:
        yield
    except OSError as error:
        why = f"VFIO does not open the function: {error.strerror}"
        raise Refused(function.address, why, DMESG) from error


def _check_group(function: Function, group: int) -> None:
    status = bytearray(GROUP_STATUS.pack(GROUP_STATUS.size, 0))
    fcntl.ioctl(group, Request.GROUP_GET_STATUS, status)
    if not GROUP_STATUS.unpack(status)[1] & GROUP_VIABLE:
        why = f"other functions of its IOMMU group {function.iommu_group} have other drivers"
        how = f"bind all of {function.folder}/iommu_group/devices to vfio-pci, or use --via sysfs"
        raise Refused(function.address, why, how)


def region(device: int, index: int) -> Region:
    """Returns a region of a device. Raises OSError."""
    info = bytearray(REGION_INFO.pack(REGION_INFO.size, 0, index, 0, 0, 0))
    fcntl.ioctl(device, Request.DEVICE_GET_REGION_INFO, info)
    _, flags, _, _, size, offset = REGION_INFO.unpack(info)
    return Region(RegionFlag(flags), size, offset)
