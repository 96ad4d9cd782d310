"""The transport `vfio`: the kernel's VFIO, by the function's IOMMU group, or without an IOMMU.

Whoever opens a function of vfio-pci has the kernel reset it, which destroys the state that a dump
is to show. So its ways to be reset (the file `reset_method`) are taken away while it is open, and
put back afterwards. Numbers and structures: include/uapi/linux/vfio.h.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import NamedTuple

from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.driver.engine import EngineIo
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.real.functions import SYSFS, Function, check_for, find_function
from vmcoredd.driver.real.mapped import ConfigFile, MappedBar
from vmcoredd.driver.real.sysfs import claim, command_of, no_rights

log = logging.getLogger(__name__)

NAME = "vfio"
DEV = Path("/dev")
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


class Vfio:
    """The function at `address`, which is bound to vfio-pci; `root` is sysfs, `dev` is /dev.

    Raises NoSuchFunction and Refused, each with what to do, and ValueError for what is no address.
    """

    reconnect = None
    is_real = True

    def __init__(self, address: str, *, root: Path = SYSFS, dev: Path = DEV) -> None:
        self.function = find_function(address, root)
        check_for(self.function, NAME)
        with ExitStack() as cleanup:
            cleanup.enter_context(_claimed(self.function))
            cleanup.enter_context(resets_off(self.function))
            device = cleanup.enter_context(_device(self.function, dev / "vfio"))
            with _refusing(self.function):
                bar0, config = region(device, BAR0), region(device, CONFIG)
            self.config_bytes = config.size
            self._config = ConfigFile(device, config.offset)
            self._decode()
            self._bar0 = self._mapped(device, bar0)
            cleanup.callback(self._bar0.close)
            self._cleanup = cleanup.pop_all()

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        return EngineIo(self._bar0.io, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Closes the device, then gives it back its resets."""
        self._cleanup.close()

    def _decode(self) -> None:
        """Switches memory decoding on, in case the kernel has not; it restores it at the end."""
        command = command_of(self.function, self._config)
        if not command & PciCommand.MEMORY:
            offset = ConfigHeader.command.offset
            self._config.write(offset, command | PciCommand.MEMORY, width=2)

    def _mapped(self, device: int, found: Region) -> MappedBar:
        if not found.flags & RegionFlag.MMAP:
            why = "the kernel does not let BAR0 be mapped through VFIO"
            raise Refused(self.function.address, why, "use --via sysfs")
        try:
            return MappedBar(device, found.size, found.offset)
        except OSError as error:
            why = f"BAR0 cannot be mapped: {error.strerror}"
            raise Refused(self.function.address, why, "`dmesg` may tell why") from error


@contextmanager
def _claimed(function: Function) -> Iterator[None]:
    with (function.folder / "config").open("rb") as file:
        claim(function, file.fileno())
        yield


@contextmanager
def resets_off(function: Function) -> Iterator[None]:
    """Takes away a function's ways to be reset while the context is open. Raises Refused."""
    path = function.folder / "reset_method"
    if not path.exists() and not (function.folder / "reset").exists():
        yield  # the kernel has no way to reset this function
        return
    if not path.exists():
        why = "its resets cannot be switched off: this kernel has no reset_method (Linux 5.15)"
        raise Refused(function.address, why, "use --via sysfs, which resets nothing")
    before = function.reset_methods
    try:
        path.write_text("\n")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise no_rights(function, path) from error
        why = f"its resets cannot be switched off: {error.strerror}"
        raise Refused(function.address, why, "use --via sysfs, which resets nothing") from error
    try:
        if left := function.reset_methods:
            why = f"its resets stay on: {' '.join(left)}"
            raise Refused(function.address, why, "use --via sysfs, which resets nothing")
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
    with ExitStack() as files:
        container = _opened(function, folder / "vfio", files)
        group = _opened(function, folder / function.iommu_group, files)
        with _refusing(function):
            _check_group(function, group)
            fcntl.ioctl(group, Request.GROUP_SET_CONTAINER, struct.pack("=i", container))
            without = function.iommu_group.startswith("noiommu-")
            kind = Iommu.NOIOMMU if without else Iommu.TYPE1V2
            fcntl.ioctl(container, Request.SET_IOMMU, int(kind))
            name = function.address.encode() + b"\0"
            device = fcntl.ioctl(group, Request.GROUP_GET_DEVICE_FD, bytearray(name))
        files.callback(os.close, device)
        yield device


def _opened(function: Function, path: Path, files: ExitStack) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise no_rights(function, path) from error
        busy = error.errno == errno.EBUSY
        why = f"{path} cannot be opened: {error.strerror}"
        remedy = "another program has it: end that" if busy else "`modprobe vfio`"
        raise Refused(function.address, why, remedy) from error
    files.callback(os.close, descriptor)
    return descriptor


@contextmanager
def _refusing(function: Function) -> Iterator[None]:
    """Reports what the kernel refuses in the context."""
    try:
        yield
    except OSError as error:
        why = f"VFIO does not open the function: {error.strerror}"
        raise Refused(function.address, why, "`dmesg` may tell why") from error


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
