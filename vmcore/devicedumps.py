"""The registry of device dumps: `vmcore_add_device_dump()` of fs/proc/vmcore.c (Linux 6.1)."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

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
from vmcoredd.vmcore.image import Image
from vmcoredd.vmcore.memory import MemoryFile

log = logging.getLogger(__name__)

Callback = Callable[[memoryview], int | None]

_NOTE_NAME_BYTES = 8  # VMCOREDD_NOTE_NAME with its NULs
_U32 = (1 << 32) - 1


class DeviceDump:
    """One device dump: a note, header included, in a buffer of whole pages.

    `size` is the buffer's length, `buffer` the note from its first byte on (64 bytes of header),
    `payload` what the driver was given: as many bytes as it had asked for.
    """

    def __init__(self, name: str, memory: MemoryFile, asked: int) -> None:
        self.name = name
        self.size = memory.size
        self._memory = memory
        self._asked = asked

    @property
    def buffer(self) -> memoryview:
        return self._memory.view

    @property
    def payload(self) -> memoryview:
        return self._memory.view[DUMP_HEADER_SIZE : DUMP_HEADER_SIZE + self._asked]

    def fileno(self) -> int:
        return self._memory.fileno()

    def close(self) -> None:
        self._memory.close()


class DeviceDumps:
    """The device dumps added to one crash context, and the vmcore that they make with it.

    `base` is the crash context (the default one if None). `enabled=False` is the crash kernel
    booted with `novmcoredd`, `built_in=False` one without CONFIG_PROC_VMCORE_DEVICE_DUMP. The
    arithmetic is that of a 64-bit crash kernel; the note headers are in the base's byte order.
    """

    def __init__(
        self, base: ElfCore | None = None, *, enabled: bool = True, built_in: bool = True
    ) -> None:
        self.base = base if base is not None else default_core()
        self.image = Image(self.base)
        self._enabled = enabled
        self._built_in = built_in
        self._said_disabled = False
        self._dumps: list[DeviceDump] = []
        self._lock = threading.Lock()

    @property
    def dumps(self) -> tuple[DeviceDump, ...]:
        """The dumps, in the order in which their callbacks returned."""
        return tuple(self._dumps)

    def add_device_dump(
        self, name: str | bytes, size: int, callback: Callback | None
    ) -> DeviceDump:
        """Let `callback` fill a buffer of `size` bytes, and add it as the device dump `name`.

        The buffer is zero and costs only what is touched. There is no upper limit but that of the
        kernel's types: `size` is 32 bits, `name` 44 bytes (filled to the last it has no NUL).
        n_descsz is 32 bits as well, and overflows beyond a size of 0xffffffc0, as in the kernel.

        Raises `DumpRefused`: EOPNOTSUPP without the kernel option, EINVAL when disabled or for an
        empty name, no callback, no size or one that the types do not hold, ENOMEM without memory.
        A callback's exception comes through unchanged, what it returned (if not 0 or None) as
        `CallbackFailed`; in both cases its buffer is freed. Safe to call from several threads.
        """
        raw = self._check(name, size, callback)
        memory = _allocate(round_up(DUMP_HEADER_SIZE + size, PAGE_SIZE))
        dump = DeviceDump(raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace"), memory, size)
        try:
            self._write_header(memory, raw)
            _collect(dump, cast(Callback, callback))
        except BaseException:
            dump.close()
            raise
        with self._lock:
            self._dumps.append(dump)
            self.image.update(self._dumps)
        return dump

    def close(self) -> None:
        """Free every dump (vmcore_cleanup())."""
        with self._lock:
            dumps, self._dumps = self._dumps, []
            self.image.update([])
        for dump in dumps:
            dump.close()

    def _check(self, name: str | bytes, size: int, callback: Callback | None) -> bytes:
        """The name as it goes into the note, if the kernel would begin to collect."""
        if not self._built_in:
            raise DumpRefused(errno.EOPNOTSUPP, "the kernel was built without device dumps")
        if not self._enabled:
            self._say_disabled()
            raise DumpRefused(errno.EINVAL, "device dumps are disabled (novmcoredd)")
        raw = name.encode() if isinstance(name, str) else name
        if not raw or raw.startswith(b"\0"):
            raise DumpRefused(errno.EINVAL, "the dump has no name")
        if len(raw) > VMCOREDD_MAX_NAME_BYTES:
            why = f"a name of {len(raw)} bytes, {VMCOREDD_MAX_NAME_BYTES} is the most"
            raise DumpRefused(errno.EINVAL, why)
        if callback is None:
            raise DumpRefused(errno.EINVAL, "the dump has no callback")
        if not 0 < size <= _U32:
            raise DumpRefused(errno.EINVAL, f"a size of {size} bytes, 1 to {_U32} is possible")
        return raw

    def _say_disabled(self) -> None:
        if not self._said_disabled:
            log.error("Device dump is disabled")
        self._said_disabled = True

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
        raise DumpRefused(errno.ENOMEM, f"no buffer of {size} bytes ({error})") from error


def _collect(dump: DeviceDump, callback: Callback) -> None:
    returned = callback(dump.payload)
    if returned:
        raise CallbackFailed(dump.name, returned)
