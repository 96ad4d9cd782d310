"""The transport `sysfs`: BAR0 is /sys/bus/pci/devices/ADDRESS/resource0, mapped.

It needs no driver and resets nothing. Memory decoding is switched on if it is off, by the kernel
(the file `enable`), and put back when the transport is closed.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

from vmcoredd.chip.pci import ConfigHeader, PciCommand
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.real.functions import Function
from vmcoredd.driver.real.mapped import ConfigFile, MappedBar
from vmcoredd.driver.real.transport import DMESG, RealTransport, Spaces, opened
from vmcoredd.hw.errors import DeadDevice

log = logging.getLogger(__name__)

_COMMAND = ConfigHeader.command.offset


class Sysfs(RealTransport):
    """A function that no driver has; see RealTransport.

    With `in_use`, also one that a driver owns, whose decoding is left to that.
    """

    via = "sysfs"

    @contextmanager
    def _opened(self, config: ConfigFile) -> Iterator[Spaces]:
        with _decoding(self.function, config), _mapped(self.function) as bar0:
            yield bar0, config


@contextmanager
def _decoding(function: Function, config: ConfigFile) -> Iterator[None]:
    """Has memory decoding on while the context is open, and then puts back what was."""
    before = config.read(_COMMAND, width=2)
    if before & PciCommand.MEMORY:
        yield
        return
    if function.driver:
        why = f"its memory decoding is off, and that is the business of {function.driver}"
        raise Refused(function.address, why, "unbind the driver")
    _enable(function, True)
    try:
        if not config.read(_COMMAND, width=2) & PciCommand.MEMORY:
            why = "memory decoding stays off though the kernel was asked to switch it on"
            raise Refused(function.address, why, DMESG)
        yield
    finally:
        _put_back(function, config, before)


def _put_back(function: Function, config: ConfigFile, command: int) -> None:
    """Disables the function, of which the kernel clears only bus mastering, and its decoding."""
    try:
        _enable(function, False)
        config.write(_COMMAND, command, width=2)
    except (Refused, DeadDevice) as error:
        log.warning("%s: memory decoding was not put back: %s", function.address, error)


def _enable(function: Function, on: bool) -> None:
    try:
        (function.folder / "enable").write_text("1" if on else "0")
    except OSError as error:
        why = f"the kernel does not enable the function: {error.strerror}"
        raise Refused(function.address, why, DMESG) from error


@contextmanager
def _mapped(function: Function) -> Iterator[MappedBar]:
    with opened(function, function.folder / "resource0") as descriptor:
        try:
            bar0 = MappedBar(descriptor, function.registers_bytes)
        except (OSError, ValueError) as error:
            raise _not_mapped(function, error) from error
    with closing(bar0):
        yield bar0


def _not_mapped(function: Function, error: OSError | ValueError) -> Refused:
    """Says why the kernel refuses to map the registers (pci_mmap_resource())."""
    code = getattr(error, "errno", None)
    if code == errno.EINVAL and function.driver:
        why = f"the kernel forbids to map what {function.driver} uses"
        return Refused(function.address, why, "boot with iomem=relaxed, or unbind the driver")
    if code == errno.EPERM:
        why = "the kernel forbids to map a device's registers: lockdown, or a missing capability"
        return Refused(function.address, why, "run it as root, with a kernel that is not locked")
    return Refused(function.address, f"BAR0 cannot be mapped: {error}", DMESG)
