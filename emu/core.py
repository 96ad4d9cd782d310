"""The access core: the C core's tables as Python sets them up, its hooks, windows and access log.

Silicon models describe words with `core.spaces`, lookups with `core.lookups`, and behaviour that
only Python can express with `core.hook()`. core.h has the exact rules of an access.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from vmcoredd.chip import Chip, Register
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.access_log import AccessLog, LoggedAccess, LogKind, Names
from vmcoredd.emu.errors import AccessError, ModelError
from vmcoredd.emu.lookup import Lookups
from vmcoredd.emu.memory import Memfd, Memories
from vmcoredd.emu.spaces import Space, Spaces, WordKind, described

log = logging.getLogger("emu")

WINDOWS = 8

ReadHook = Callable[[int, int], int]
"""(element, stored word) -> the word that is read."""
WriteHook = Callable[[int, int], "int | None"]
"""(element, written word) -> the word to store, or None: what was written."""


class Hook(NamedTuple):
    """What Python does when a word is accessed."""

    register: Register
    element: int
    space: Space
    word: int
    read: ReadHook | None
    write: WriteHook | None


class Window(NamedTuple):
    """Where a memory window lies in BAR0: byte offset, and a power of two of bytes."""

    offset: int
    size: int


class Core:
    """The tables of one card, and the C core that follows them."""

    def __init__(self, chip: Chip, bars: dict[int, int], *, strict: bool = False) -> None:
        self.bars = bars
        self.spaces = Spaces(chip)
        self.lookups = Lookups(self.spaces)
        self.access_log = AccessLog(strict=strict)
        self.failure: BaseException | None = None
        self.memfds = {bar: Memfd(f"bar{bar}", size) for bar, size in bars.items()}
        self.c: Any = ffi.new("struct core *")
        self._names = Names(chip)
        self._handle = ffi.new_handle(self)
        self._hooks: list[Hook] = []
        self._overlaid: list[tuple[int, bytes, bytes]] = []
        self._keep: list[Any] = []
        self._connect()
        self.regions = {bar: self._region(bar) for bar in bars}
        self.bar0 = self.spaces.space("bar0")
        self.bar0.kinds[:], resets = described(chip, self.bar0.count)
        for index, value in resets:
            self.bar0.words[index] = value

    def _connect(self) -> None:
        self.c.handle = self._handle
        self.c.hook_read = lib.emu_on_read
        self.c.hook_write = lib.emu_on_write
        self.c.log_access = lib.emu_on_log
        self.c.lookups = self.lookups.entries
        self.c.commands = self.lookups.commands

    def _region(self, bar: int) -> Any:
        memfd = self.memfds[bar]
        space = self.spaces.add(
            f"bar{bar}", memfd.size // 4, stride=4, kinds=bar == 0, memory=memfd.map
        )
        if bar == 0:
            self.c.bar0 = space.c
        region = ffi.new("struct region *")
        region.core, region.space = self.c, space.c
        return region

    # Accesses

    def native(self, bar: int) -> tuple[int, int]:
        """The entry point of a BAR as integers: a `region_access` and its cookie."""
        function = ffi.addressof(lib, "emu_access")
        return int(ffi.cast("intptr_t", function)), int(ffi.cast("intptr_t", self.regions[bar]))

    def access(self, bar: int, offset: int, data: Any, length: int, *, write: bool) -> None:
        """One access through the entry point; AccessError if it is refused."""
        self.failure = None
        code = lib.emu_access(self.regions[bar], offset, data, length, int(write))
        if code:
            verb = "write" if write else "read"
            raise AccessError(-code, f"bar{bar}", offset, length, verb) from self.failure

    def counts(self) -> dict[str, int]:
        """Accesses to BAR0 so far, by shape (`struct access_counts`)."""
        counts = self.c.counts
        return {name: getattr(counts, name) for name, _ in ffi.typeof(counts).fields}

    # Hooks

    def hook(
        self,
        register: Register,
        read: ReadHook | None = None,
        write: WriteHook | None = None,
        elements: Sequence[int] | None = None,
    ) -> None:
        """Asks Python about accesses to a register; ModelError if it already has a behaviour."""
        for element in range(register.count) if elements is None else elements:
            space, index = self.spaces.where(register, element)
            if space.kinds[index] > WordKind.CLEAR:
                raise ModelError(f"{register.name} already has a behaviour")
            kind = WordKind.HOOK if read else WordKind.HOOK_WRITE
            space.set_kind(index, kind, len(self._hooks))
            self._hooks.append(Hook(register, element, space, index, read, write))

    def on_read(self, number: int, stored: int) -> int:
        """What a read of a hooked word sees."""
        hook = self._hooks[number]
        return hook.read(hook.element, stored) if hook.read else stored

    def on_write(self, number: int, value: int) -> int:
        """A hooked word was written: 0, or -errno."""
        hook = self._hooks[number]
        if hook.write is None:
            return self.log_access(LogKind.GUEST_READ_ONLY, hook.space.number, hook.word, 1, True)
        stored = hook.write(hook.element, value)
        hook.space.words[hook.word] = value if stored is None else stored
        return 0

    def hook_name(self, number: int) -> str:
        """The name of the register behind a hook, for messages."""
        return self._hooks[number].register.name

    # AccessLog

    def log_access(self, kind: int, number: int, offset: int, length: int, is_write: bool) -> int:
        """Logs an access. Returns 0 if it may go on, else -errno."""
        space = self.spaces.all[number]
        if kind == LogKind.GUEST_SIZE:
            place = f"{space.name} {offset:#x}, {length} bytes"
        elif kind == LogKind.GUEST_MEMORY:
            place = f"adapter memory {offset:#x}"
        else:
            place = self._names.of(space, offset)
        verb = "write of" if is_write else "read of"
        code = self.access_log.add(LoggedAccess(LogKind(kind), verb, place))
        return -errno.EPERM if kind == LogKind.GUEST_READ_ONLY else code

    def fetch_all(self) -> None:
        """Lets every lookup port show its present row, as after a command."""
        for number in range(self.lookups.count):
            lookup = self.lookups.entries + number
            if not lookup.store and not lookup.when_mask:
                lib.emu_lookup_fetch(self.c, lookup)

    # Memory and its windows

    def attach(self, memories: Memories) -> None:
        """Gives the windows the adapter's memories to look at."""
        for slot, memory in zip(self.c.memories, memories, strict=False):
            buffer = ffi.from_buffer(memory.memfd.map)
            self._keep.append(buffer)
            slot.bytes, slot.base, slot.size = buffer, memory.base, memory.size

    def place_windows(self, windows: Sequence[Window | None], offsets: Register) -> None:
        """Puts the windows where their base registers say; `offsets` are what moves them."""
        self._lift_windows()
        for number, window in enumerate(windows):
            slot = self.c.windows[number]
            space, index = self.spaces.where(offsets, number)
            slot.offset = space.pointer(index)
            slot.count = 0
            if window:
                self._lay_window(number, slot, window)

    def _lay_window(self, number: int, slot: Any, window: Window) -> None:
        first, count = window.offset // 4, window.size // 4
        bar0, end = self.bar0, window.offset // 4 + window.size // 4
        if end > bar0.count or count & (count - 1):
            return
        links = bar0.links[first:end].tobytes()
        self._overlaid.append((first, bytes(bar0.kinds[first:end]), links))
        slot.first, slot.count = first, count
        for index in range(first, end):
            bar0.set_kind(index, WordKind.WINDOW, number)

    def _lift_windows(self) -> None:
        while self._overlaid:
            first, kinds, links = self._overlaid.pop()
            end = first + len(kinds)
            self.bar0.kinds[first:end] = kinds
            self.bar0.links[first:end] = memoryview(links).cast("H")

    def map_window(self, number: int, offsets: Register) -> None:
        """From now on a guest may have window `number` mapped: see `emu_window_sync()`."""
        slot = self.c.windows[number]
        shadow = ffi.new("uint8_t[]", slot.count * 4)
        self._keep.append(shadow)
        slot.shadow, slot.shown = shadow, 0
        space, index = self.spaces.where(offsets, number)
        space.set_kind(index, WordKind.OFFSET, number)
        self.sync()

    def show(self) -> None:
        """Puts adapter memory into mapped windows, whatever was there."""
        for slot in self.c.windows:
            if slot.shadow:
                words = ffi.cast("uint8_t *", self.bar0.pointer(slot.first))
                ffi.memmove(slot.shadow, words, slot.count * 4)
        self.sync()

    def sync(self) -> None:
        """Brings mapped windows and adapter memory together, both ways."""
        for number in range(WINDOWS):
            lib.emu_window_sync(self.c, number)


def _report(_kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A hook failed: the access is answered with EIO; keep and log why."""
    local = trace.tb_frame.f_locals if trace else {}
    core = local.get("core")
    if core is not None:
        core.failure = error
    where = core.hook_name(local["number"]) if core and "number" in local else "a callback"
    log.error("%s: %s failed: %s", where, type(error).__name__, error, exc_info=error)


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_read(handle: Any, number: int, value: Any) -> int:
    """C asks what a hooked word reads as."""
    core = ffi.from_handle(handle)
    value[0] = core.on_read(number, value[0])
    return 0


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_write(handle: Any, number: int, value: int) -> int:
    """C says that a hooked word was written."""
    core = ffi.from_handle(handle)
    return int(core.on_write(number, value))


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_log(handle: Any, kind: int, space: int, offset: int, length: int, is_write: int) -> int:
    """C met an access that belongs in the log."""
    core = ffi.from_handle(handle)
    return int(core.log_access(kind, space, offset, length, bool(is_write)))
