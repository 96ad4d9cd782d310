"""The access core: sets up the C core's tables for one card, and serves its callbacks.

Silicon models describe words with `core.spaces`, lookups with `core.lookups`, and behaviour that
only Python can express with `core.hook()`. core.h has the exact rules of an access.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from pyvfio_user import LimitedLog
from vmcoredd.chip import Chip, Register
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.pci import Bar
from vmcoredd.chip.register import Location
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.access_log import AccessLog, LoggedAccess, LogKind, Names
from vmcoredd.emu.blocks import blocks
from vmcoredd.emu.engine import Engine
from vmcoredd.emu.errors import AccessError, ModelError
from vmcoredd.emu.lookup import Lookups
from vmcoredd.emu.memory import Memfd
from vmcoredd.emu.spaces import Space, Spaces, WordKind, described
from vmcoredd.emu.window import Windows
from vmcoredd.plural import exact
from vmcoredd.trace.records import WRITABLE, Kind, Source
from vmcoredd.trace.ring import Ring

log = logging.getLogger("emu")

ReadHook = Callable[[int, int], int]
"""(element, stored word) -> the word that the reader gets."""
WriteHook = Callable[[int, int], "int | None"]
"""(element, written word) -> the word to store; None stores the written word."""


BLOCK: dict[int, int] = {Bar.DOORBELLS: lib.BLOCK_DOORBELLS, Bar.MSIX: lib.BLOCK_MSIX}
"""The block of a BAR whose words are all in one."""
WRITTEN: dict[int, Any] = {
    Bar.DOORBELLS: ffi.addressof(lib, "engine_bar2_written"),
    Bar.MSIX: ffi.addressof(lib, "engine_msix_written"),
}
"""What the engine does when a BAR is written."""


class Hook(NamedTuple):
    """The Python functions that handle accesses to one word."""

    register: Register
    element: int
    space: Space
    word: int
    read: ReadHook | None
    write: WriteHook | None


Hear = Callable[[bool], None]
"""(is it a write): hears of an access before it is made."""


class Watch:
    """A word whose accesses others hear of. Its own kind is kept meanwhile."""

    def __init__(self, register: Register, space: Space, word: int) -> None:
        self.register, self.space, self.word = register, space, word
        self.listeners: list[Hear] = []
        self.number = 0

    def begin(self, number: int) -> None:
        """Takes the place of the word's kind."""
        self.number = number
        self._kind = WordKind(self.space.kinds[self.word])
        self._link = self.space.links[self.word]
        self.space.set_kind(self.word, WordKind.HOOK, number)

    def end(self) -> None:
        """Gives the word its kind back."""
        self.space.set_kind(self.word, self._kind, self._link)

    def tell(self, *, is_write: bool) -> None:
        """Tells those who listen now; each may stop listening."""
        for hear in [*self.listeners]:
            hear(is_write)

    @contextlib.contextmanager
    def unwatched(self) -> Iterator[None]:
        """Within the context the word is of its own kind."""
        if not self.listeners:
            yield
            return
        self.end()
        try:
            yield
        finally:
            self.begin(self.number)


class Core:
    """The tables of one card, and the C core that interprets them; `bars` are the BARs' sizes."""

    def __init__(self, chip: Chip, bars: Mapping[int, int], *, strict: bool = False) -> None:
        self.bars = bars
        self.spaces = Spaces(chip)
        self.lookups = Lookups(self.spaces)
        self.access_log = AccessLog(strict=strict)
        self.log = LimitedLog(log)
        self.failure: BaseException | None = None
        self.memfds = {bar: Memfd(f"bar{bar}", size) for bar, size in bars.items()}
        self.c: Any = ffi.new("struct core *")
        self._names = Names(chip)
        self._handle = ffi.new_handle(self)
        self._hooks: list[Hook | Watch] = []
        self._watches: dict[tuple[int, int], Watch] = {}
        self._ring: Ring | None = None
        self._connect()
        self.regions = {bar: self._region(bar) for bar in bars}
        self.bar0 = self.spaces.space("bar0")
        self.bar0.kinds[:], resets = described(chip, self.bar0.count)
        self._block_names, self._blocks = blocks(chip, self.bar0.count)
        self.c.blocks = ffi.from_buffer("uint8_t[]", self._blocks)
        for index, value in resets:
            self.bar0.words[index] = value
        self.windows = Windows(self.c, self.spaces)
        self.engine = Engine(self.c, chip)

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
        region.core, region.space, region.bar = self.c, space.c, bar
        region.written = WRITTEN.get(bar, ffi.NULL)
        region.block = BLOCK.get(bar, lib.BLOCK_UNDESCRIBED)
        return region

    # Accesses

    def native(self, bar: int) -> tuple[int, int]:
        """Returns a BAR's entry point as integers: a `region_access` and its cookie."""
        function = ffi.addressof(lib, "emu_access")
        return int(ffi.cast("intptr_t", function)), int(ffi.cast("intptr_t", self.regions[bar]))

    def access(self, bar: int, offset: int, data: Any, length: int, *, write: bool) -> None:
        """Makes one access through the entry point; AccessError if it is refused."""
        self.failure = None
        code = lib.emu_access(self.regions[bar], offset, data, length, int(write))
        if code:
            if self.failure and not isinstance(self.failure, Exception):  # of a signal's handler
                raise self.failure
            verb = "write" if write else "read"
            raise AccessError(-code, f"bar{bar}", offset, length, verb) from self.failure

    def counts(self) -> dict[str, int]:
        """Returns the number of accesses to BAR0 so far, by size (`struct access_counts`)."""
        counts = self.c.counts
        return {name: getattr(counts, name) for name, _ in ffi.typeof(counts).fields}

    def block_counts(self) -> dict[str, tuple[int, int]]:
        """Returns how many words of each block were read and written, if any was."""
        found = zip(self._block_names, self.c.block_counts, strict=False)
        counts = {name: (int(block.reads), int(block.writes)) for name, block in found}
        return {name: count for name, count in counts.items() if any(count)}

    # The trace

    def record(self, ring: Ring | None) -> None:
        """Records what happens in a ring from now on, or no more. Any thread may call it."""
        self._ring = ring or self._ring  # an access may be under way, which still uses it
        self.c.trace = ffi.cast("struct trace_ring *", ring.address) if ring else ffi.NULL

    @property
    def is_recorded(self) -> bool:
        """Whether there is a trace."""
        return bool(self.c.trace != ffi.NULL)

    def note(self, kind: Kind, source: Source, text: str = "") -> None:
        """Puts an event into the trace, if there is one."""
        if self.is_recorded:
            data = text.encode()
            lib.trace_note(self.c.trace, kind, source, data, len(data))

    def note_memory(self, kind: Kind, address: int, size: int, *, writable: bool) -> None:
        """Notes that the client shares memory with the card (MAPPED), or no more (UNMAPPED)."""
        if self.is_recorded:
            what = ffi.new("struct trace_record *")
            what.kind, what.source = kind, Source.CLIENT
            what.address, what.value = address, size
            what.detail = WRITABLE if writable else 0
            lib.trace_tell(self.c.trace, what)

    def fetch_all(self) -> None:
        """Makes every lookup show its current row, as after a command."""
        for number in range(self.lookups.count):
            lookup = self.lookups.entries + number
            if not lookup.store and not lookup.when_mask:
                lib.emu_lookup_fetch(self.c, lookup)

    # Hooks

    def hook(
        self,
        register: Register,
        read: ReadHook | None = None,
        write: WriteHook | None = None,
        elements: Sequence[int] | None = None,
    ) -> None:
        """Lets Python handle accesses to a register; ModelError if it already has a behaviour."""
        for element in range(register.count) if elements is None else elements:
            space, index = self.spaces.where(register, element)
            if space.kinds[index] > WordKind.CLEAR:
                raise ModelError(f"{register.name} already has a behaviour")
            kind = WordKind.HOOK if read else WordKind.HOOK_WRITE
            space.set_kind(index, kind, len(self._hooks))
            self._hooks.append(Hook(register, element, space, index, read, write))

    # Watches

    def can_watch(self, word: Location) -> bool:
        """Returns whether a word has a kind: those of tables have none."""
        return bool(self.spaces.where(*word)[0].kinds)

    def watch(self, words: Iterable[Location], hear: Hear) -> Callable[[], None]:
        """Calls `hear` before each access to these words, until what is returned is called.

        Other words are as fast as before. Raises ModelError unless all `can_watch()`.
        """
        watches = [self._watch(*word) for word in words]
        for one in watches:
            if not one.listeners:
                one.begin(one.number)
            one.listeners.append(hear)

        def end() -> None:
            for one in watches:
                one.listeners.remove(hear)
                if not one.listeners:
                    one.end()

        return end

    def _watch(self, register: Register, element: int) -> Watch:
        space, word = self.spaces.where(register, element)
        if (space.number, word) not in self._watches:
            self._watches[space.number, word] = watch = Watch(register, space, word)
            watch.number = len(self._hooks)
            self._hooks.append(watch)
        return self._watches[space.number, word]

    def _read_watched(self, watch: Watch) -> int:
        watch.tell(is_write=False)
        if self.c.gone:
            return U32_MASK
        value = ffi.new("uint32_t *")
        with watch.unwatched():
            code = lib.emu_word_read(self.c, watch.space.c, watch.word, value)
        if code:
            raise OSError(-code, os.strerror(-code))
        return int(value[0])

    def _write_watched(self, watch: Watch, value: int) -> int:
        watch.tell(is_write=True)
        if self.c.gone:
            return 0
        with watch.unwatched():
            return int(lib.emu_word_write(self.c, watch.space.c, watch.word, value))

    def read_hooked(self, number: int, stored: int) -> int:
        """Handles a read: returns the word that the reader gets."""
        hook = self._hooks[number]
        if isinstance(hook, Watch):
            return self._read_watched(hook)
        return hook.read(hook.element, stored) if hook.read else stored

    def write_hooked(self, number: int, value: int) -> int:
        """Handles a write: returns 0 or -errno."""
        hook = self._hooks[number]
        if isinstance(hook, Watch):
            return self._write_watched(hook, value)
        if hook.write is None:
            kind = LogKind.GUEST_READ_ONLY
            return self.log_access(kind, hook.space.number, hook.word, 1, is_write=True)
        stored = hook.write(hook.element, value)
        hook.space.words[hook.word] = value if stored is None else stored
        return 0

    def hook_name(self, number: int) -> str:
        """Returns the name of a hooked register, for messages."""
        return self._hooks[number].register.name

    # The access log

    def log_access(
        self, kind: int, number: int, offset: int, length: int, *, is_write: bool
    ) -> int:
        """Logs an access. Returns 0 if it may go on, else -errno."""
        space = self.spaces.all[number]
        if kind == LogKind.GUEST_SIZE:
            location = f"{space.name} {offset:#x}, {exact(length, 'byte')}"
        elif kind == LogKind.GUEST_MEMORY:
            location = f"adapter memory {offset:#x}"
        else:
            location = self._names.of(space, offset)
        verb = "write of" if is_write else "read of"
        code = self.access_log.add(LoggedAccess(LogKind(kind), verb, location))
        return -errno.EPERM if kind == LogKind.GUEST_READ_ONLY else code


def _report(_kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Records and logs why a hook failed; the access itself fails with EIO."""
    local = trace.tb_frame.f_locals if trace else {}
    core = local.get("core")
    if core is not None:
        core.failure = error
        if not isinstance(error, Exception):
            return
    where = core.hook_name(local["number"]) if core and "number" in local else "a callback"
    (core.log if core else log).error(
        "%s: %s failed: %s", where, type(error).__name__, error, exc_info=error
    )


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_read(handle: Any, number: int, value: Any) -> int:
    """C calls this for a read of a hooked word; `value` holds the stored word."""
    core = ffi.from_handle(handle)
    value[0] = core.read_hooked(number, value[0])
    return 0


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_write(handle: Any, number: int, value: int) -> int:
    """C calls this for a write of a hooked word."""
    core = ffi.from_handle(handle)
    return int(core.write_hooked(number, value))


@ffi.def_extern(error=-errno.EIO, onerror=_report)
def emu_on_log(handle: Any, kind: int, space: int, offset: int, length: int, is_write: int) -> int:
    """C calls this for each access to log."""
    core = ffi.from_handle(handle)
    return int(core.log_access(kind, space, offset, length, is_write=bool(is_write)))
