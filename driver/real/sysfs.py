"""The transport `sysfs`: BAR0 is /sys/bus/pci/devices/ADDRESS/resource0, mapped.

It needs no driver and resets nothing. Memory decoding is switched on if it is off, by the kernel
(the file `enable`), and put back when the transport is closed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from contextlib import ExitStack
from pathlib import Path

from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.driver.engine import EngineIo
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.real.functions import SYSFS, Function, check_for, find_function
from vmcoredd.driver.real.mapped import ConfigFile, MappedBar
from vmcoredd.hw.errors import DeadDevice

log = logging.getLogger(__name__)

NAME = "sysfs"
_COMMAND = ConfigHeader.command.offset
_NO_DEVICE = 0xFFFF


class Sysfs:
    """The function at `address` of the machine whose sysfs is at `root`.

    With `in_use`, also one that a driver owns, whose decoding is left to that.

    Raises NoSuchFunction and Refused, each with what to do, and ValueError for what is no address.
    """

    reconnect = None
    is_real = True

    def __init__(self, address: str, *, in_use: bool = False, root: Path = SYSFS) -> None:
        self.function = find_function(address, root)
        check_for(self.function, NAME, in_use=in_use)
        with ExitStack() as cleanup:
            config = _opened(self.function, "config")
            cleanup.callback(os.close, config)
            claim(self.function, config)
            self.config_bytes = os.fstat(config).st_size
            self._config = ConfigFile(config)
            cleanup.enter_context(_Decoding(self.function, self._config))
            self._bar0 = _mapped(self.function)
            cleanup.callback(self._bar0.close)
            self._cleanup = cleanup.pop_all()

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        return EngineIo(self._bar0.io, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Unmaps the registers and puts memory decoding back."""
        self._cleanup.close()


class _Decoding:
    """Memory decoding, on while the context is open."""

    def __init__(self, function: Function, config: ConfigFile) -> None:
        self._function, self._config = function, config
        self._before: int | None = None
        """The command register as it was, if it was changed."""

    def __enter__(self) -> _Decoding:
        before = command_of(self._function, self._config)
        if before & PciCommand.MEMORY:
            return self
        if self._function.driver:
            why = f"its memory decoding is off, and that is the business of {self._function.driver}"
            raise Refused(self._function.address, why, "unbind the driver")
        self._enable(True)
        self._before = before
        if not command_of(self._function, self._config) & PciCommand.MEMORY:
            self.__exit__()
            why = "memory decoding stays off though the kernel was asked to switch it on"
            raise Refused(self._function.address, why, "`dmesg` may tell why")
        return self

    def __exit__(self, *_: object) -> None:
        """Puts back what was; the kernel itself clears only bus mastering."""
        if self._before is None:
            return
        try:
            self._enable(False)
            self._config.write(_COMMAND, self._before, width=2)
        except (Refused, DeadDevice) as error:
            log.warning("%s: memory decoding was not put back: %s", self._function.address, error)

    def _enable(self, on: bool) -> None:
        try:
            (self._function.folder / "enable").write_text("1" if on else "0")
        except OSError as error:
            why = f"the kernel does not enable the function: {error.strerror}"
            raise Refused(self._function.address, why, "`dmesg` may tell why") from error


def command_of(function: Function, config: ConfigFile) -> int:
    """Returns the command register. Raises Refused if configuration space does not answer."""
    remedy = (
        f"look at the link and the slot; echo 1 >{function.folder}/remove; "
        f"echo 1 >{function.root}/bus/pci/rescan finds it anew, if it answers"
    )
    try:
        if config.read(ConfigHeader.vendor.offset, width=2) != _NO_DEVICE:
            return config.read(_COMMAND, width=2)
        why = "its configuration space reads all ones: it does not answer"
    except DeadDevice as error:
        why = str(error)
    raise Refused(function.address, why, remedy)


def claim(function: Function, descriptor: int) -> None:
    """Keeps a second dump away from a function as long as the file is open. Raises Refused."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        why = "another process dumps it"
        raise Refused(function.address, why, "wait for that, or end it") from error


def _opened(function: Function, name: str) -> int:
    try:
        return os.open(function.folder / name, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError as error:
        raise no_rights(function, function.folder / name) from error
    except OSError as error:
        why = f"{name} cannot be opened: {error.strerror}"
        raise Refused(function.address, why, "`dmesg` may tell why") from error


def no_rights(function: Function, path: Path) -> Refused:
    """Returns the refusal of a user who may not open a file."""
    return Refused(function.address, f"no right to open {path}", "run it as root")


def _mapped(function: Function) -> MappedBar:
    descriptor = _opened(function, "resource0")
    try:
        return MappedBar(descriptor, function.registers_bytes)
    except (OSError, ValueError) as error:
        raise _not_mapped(function, error) from error
    finally:
        os.close(descriptor)


def _not_mapped(function: Function, error: OSError | ValueError) -> Refused:
    """Says why the kernel refuses to map the registers (pci_mmap_resource())."""
    code = getattr(error, "errno", None)
    if code == errno.EINVAL and function.driver:
        why = f"the kernel forbids to map what {function.driver} uses"
        return Refused(function.address, why, "boot with iomem=relaxed, or unbind the driver")
    if code == errno.EPERM:
        why = "the kernel forbids to map a device's registers: lockdown, or a missing capability"
        return Refused(function.address, why, "run it as root, with a kernel that is not locked")
    return Refused(function.address, f"BAR0 cannot be mapped: {error}", "`dmesg` may tell why")
