"""What the transports of real adapters share: how a function is claimed, opened and closed."""

from __future__ import annotations

import errno
import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.pci import Cap, ConfigHeader, PmCap
from vmcoredd.driver.engine import EngineIo
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.real.functions import (
    ASLEEP,
    SYSFS,
    Function,
    check_for,
    find_function,
    no_rights,
    sleeping,
)
from vmcoredd.driver.real.mapped import ConfigFile, MappedBar
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.pci import find_capability

DMESG = "`dmesg` may tell why"
_NO_DEVICE = 0xFFFF


Spaces = tuple[MappedBar, ConfigFile]
"""BAR0 and configuration space."""


class RealTransport(ABC):
    """The function at `address` of the machine whose sysfs is at `root`.

    Before it is changed in any way, it is refused for what is known to prevent the dump, if another
    process dumps it, and if it does not answer or sleeps.

    Raises NoSuchFunction and Refused, each with what to do, and ValueError for what is no address.
    """

    via: ClassVar[str]
    """The transport's name."""
    reconnect = None
    is_real = True

    def __init__(self, address: str, *, root: Path = SYSFS, in_use: bool = False) -> None:
        self.function = find_function(address, root)
        check_for(self.function, self.via, in_use=in_use)
        with ExitStack() as stack:
            config = stack.enter_context(_claimed(self.function))
            _check_awake(self.function, config)
            self._bar0, self._config = stack.enter_context(self._opened(config))
            self._open = stack.pop_all()

    @abstractmethod
    def _opened(self, config: ConfigFile) -> AbstractContextManager[Spaces]:
        """Opens the function, whose configuration space in sysfs is `config`.

        What was changed for it is put back as the context is left.
        """

    @property
    def config_bytes(self) -> int:
        """The size of configuration space: 256, or 4096 with PCIe's extended part."""
        return self._config.size

    def io(self, *, pipelined: bool = True) -> EngineIo:
        """Returns access to registers and configuration space."""
        return EngineIo(self._bar0.io, self._config, owner=self, pipelined=pipelined)

    def close(self) -> None:
        """Unmaps the registers, and puts back what was changed."""
        self._open.close()


@contextmanager
def _claimed(function: Function) -> Iterator[ConfigFile]:
    """Keeps a second dump away from a function; yields its configuration space."""
    with opened(function, function.folder / "config") as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            why = "another process dumps it"
            raise Refused(function.address, why, "wait for that, or end it") from error
        yield ConfigFile(descriptor, os.fstat(descriptor).st_size)


@contextmanager
def opened(function: Function, path: Path, remedy: str = DMESG) -> Iterator[int]:
    """Opens one of a function's files; yields the descriptor. Raises Refused."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError as error:
        raise no_rights(function, path) from error
    except OSError as error:
        busy = error.errno == errno.EBUSY
        why = f"{path} cannot be opened: {error.strerror}"
        remedy = "another program has it: end that" if busy else remedy
        raise Refused(function.address, why, remedy) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_awake(function: Function, config: ConfigFile) -> None:
    """Raises Refused unless configuration space answers, all of it, and says that the power is on.

    The kernel knows of no sleep that it has not ordered.
    """
    try:
        if config.read(ConfigHeader.vendor.offset, width=2) == _NO_DEVICE:
            why = "its configuration space reads all ones: it does not answer"
            raise Refused(function.address, why, _found_anew(function))
        if config.ends_at(sizeof(ConfigHeader)):
            why = "the kernel shows this process only the header of configuration space"
            raise Refused(function.address, why, "run it as root, not in a container")
        at = find_capability(config, Cap.PM)
        power = at and PmCap.from_bytes(config.read_run(at, sizeof(PmCap) // 4))
    except DeadDevice as error:
        raise Refused(function.address, str(error), _found_anew(function)) from error
    if power and power.power_state:
        kept = "it keeps" if power.no_soft_reset else "it resets itself by that and loses"
        how = f"echo 1 >{function.folder}/enable wakes it; {kept} its state"
        raise sleeping(function, ASLEEP[power.power_state - 1], how)


def _found_anew(function: Function) -> str:
    return (
        f"look at the link and the slot; echo 1 >{function.folder}/remove; "
        f"echo 1 >{function.root}/bus/pci/rescan finds it anew, if it answers"
    )
