"""The registry of device dumps: `vmcore_add_device_dump()` of fs/proc/vmcore.c (Linux 6.1)."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

from vmcoredd.plural import exact
from vmcoredd.vmcore.core import ElfCore
from vmcoredd.vmcore.default import default_core
from vmcoredd.vmcore.elf import (
    DUMP_HEADER_SIZE,
    NT_VMCOREDD,
    PAGE_SIZE,
    VMCOREDD_MAX_NAME_BYTES,
    VMCOREDD_NOTE_NAME,
    round_up,
)
from vmcoredd.vmcore.errors import CallbackFailed, DumpRefused
from vmcoredd.vmcore.extents import MemoryFile
from vmcoredd.vmcore.image import Image

log = logging.getLogger(__name__)

Callback = Callable[[memoryview], int | None]

_NOTE_NAME_BYTES = 8  # VMCOREDD_NOTE_NAME with its NULs
_U32 = (1 << 32) - 1


class DeviceDump:
    """One device dump: a note, header included, in a buffer of whole pages.

    `size` is the buffer's length in bytes. `buffer` is the whole note, starting with its 64-byte
    header; `payload` is the part that the driver fills, of the size that it requested.
    """

    def __init__(self, name: str, memory: MemoryFile, requested: int) -> None:
        self.name = name
        self.size = memory.size
        self._memory = memory
        self._requested = requested

    @classmethod
    def received(cls, name: str, fd: int, requested: int) -> DeviceDump:
        """Returns a dump that another process has made, and takes over its buffer's descriptor.

        `name`, and `requested` bytes of payload, are as they were there.
        """
        return cls(name, MemoryFile.of(fd), requested)

    @property
    def buffer(self) -> memoryview:
        """The whole note, header included."""
        return self._memory.view

    @property
    def payload(self) -> memoryview:
        """What the driver filled."""
        return self._memory.view[DUMP_HEADER_SIZE : DUMP_HEADER_SIZE + self._requested]

    def fileno(self) -> int:
        """Returns a descriptor of the buffer."""
        return self._memory.fileno()

    def close(self) -> None:
        """Frees the buffer, or lets the end of its last view do so."""
        self._memory.close()


class DeviceDumps:
    """The device dumps added to a crash context; together they make a vmcore.

    `base` is the crash context (None: the default one). `enabled=False` behaves as a crash kernel
    booted with `novmcoredd`, `built_in=False` as one without CONFIG_PROC_VMCORE_DEVICE_DUMP. Sizes
    are computed as in a 64-bit crash kernel; note headers have the base's byte order.
    """

    def __init__(
        self, base: ElfCore | None = None, *, enabled: bool = True, built_in: bool = True
    ) -> None:
        self.base = base if base is not None else default_core()
        self._image: Image | None = None
        self._enabled = enabled
        self._built_in = built_in
        self._logged_disabled = False
        self._dumps: list[DeviceDump] = []
        self._lock = threading.Lock()

    @property
    def image(self) -> Image:
        """The layout of /proc/vmcore; made when it is first asked for."""
        with self._lock:
            if self._image is None:
                self._image = Image(self.base, self._dumps)
            return self._image

    @property
    def dumps(self) -> tuple[DeviceDump, ...]:
        """The dumps, in the order in which they were added: that of their callbacks' returns."""
        return tuple(self._dumps)

    def add_device_dump(
        self, name: str | bytes, size: int, callback: Callback | None
    ) -> DeviceDump:
        """Lets `callback` fill a buffer of `size` bytes, and adds it as device dump `name`.

        The buffer is zero, and pages that are never written use no memory. The only limits are
        those of the kernel's types: `size` has 32 bits, `name` 44 bytes (a name of 44 has no NUL).
        n_descsz has 32 bits too and overflows for sizes above 0xffffffc0, as in the kernel.

        Raises `DumpRefused`: EOPNOTSUPP without the kernel option; EINVAL if disabled, for an empty
        name, a missing callback, a zero size, or values that the types cannot hold; ENOMEM if there
        is no memory. Passes on a callback's exception; raises `CallbackFailed` if it returns
        anything but 0 or None. In both cases the buffer is freed. Safe to call from any thread.
        """
        dump = self.make(name, size, callback)
        self.add(dump)
        return dump

    def make(self, name: str | bytes, size: int, callback: Callback | None) -> DeviceDump:
        """Makes a device dump as `add_device_dump` does, but leaves it to the caller to add it."""
        raw = self._check(name, size, callback)
        memory = _allocate(round_up(DUMP_HEADER_SIZE + size, PAGE_SIZE))
        dump = DeviceDump(raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace"), memory, size)
        try:
            self._write_header(memory, raw)
            _collect(dump, cast(Callback, callback))
        except BaseException:
            dump.close()
            raise
        return dump

    def add(self, dump: DeviceDump) -> None:
        """Adds a dump that `make` has made, perhaps in another process."""
        with self._lock:
            self._dumps.append(dump)
            self._update()

    def close(self) -> None:
        """Frees every dump (vmcore_cleanup())."""
        with self._lock:
            dumps, self._dumps = self._dumps, []
            self._update()
        for dump in dumps:
            dump.close()

    def _update(self) -> None:
        if self._image is not None:
            self._image.update(self._dumps)

    def _check(self, name: str | bytes, size: int, callback: Callback | None) -> bytes:
        """Returns the bytes of the name, if the kernel accepts the arguments."""
        if not self._built_in:
            raise DumpRefused(errno.EOPNOTSUPP, "the kernel was built without device dumps")
        if not self._enabled:
            self._log_disabled()
            raise DumpRefused(errno.EINVAL, "device dumps are disabled (novmcoredd)")
        raw = name.encode() if isinstance(name, str) else name
        if not raw or raw.startswith(b"\0"):
            raise DumpRefused(errno.EINVAL, "the dump has no name")
        if len(raw) > VMCOREDD_MAX_NAME_BYTES:
            why = f"a name of {len(raw)} bytes, {VMCOREDD_MAX_NAME_BYTES} is the limit"
            raise DumpRefused(errno.EINVAL, why)
        if callback is None:
            raise DumpRefused(errno.EINVAL, "the dump has no callback")
        if not 0 < size <= _U32:
            raise DumpRefused(errno.EINVAL, f"a size of {size} bytes, not 1 to {_U32}")
        return raw

    def _log_disabled(self) -> None:
        if not self._logged_disabled:
            log.error("Device dump is disabled")
        self._logged_disabled = True

    def _write_header(self, memory: MemoryFile, name: bytes) -> None:
        header: Any = self.base.layout.dump_header()
        header.n_namesz = _NOTE_NAME_BYTES
        header.n_descsz = memory.size - DUMP_HEADER_SIZE + VMCOREDD_MAX_NAME_BYTES
        header.n_type = NT_VMCOREDD
        header.name = VMCOREDD_NOTE_NAME
        memory.view[:DUMP_HEADER_SIZE] = bytes(header)
        start = DUMP_HEADER_SIZE - VMCOREDD_MAX_NAME_BYTES
        memory.view[start : start + len(name)] = name


def _allocate(size: int) -> MemoryFile:
    try:
        return MemoryFile("vmcoredd", size)
    except OSError as error:
        raise DumpRefused(errno.ENOMEM, f"no buffer of {exact(size, 'byte')} ({error})") from error


def _collect(dump: DeviceDump, callback: Callback) -> None:
    returned = callback(dump.payload)
    if returned:
        raise CallbackFailed(dump.name, returned)
