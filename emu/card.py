"""An emulated adapter, connected from its parts. It uses no sockets, threads or clocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vmcoredd.chip.pci import CONFIG_BYTES, REGISTERS_BYTES, Bar
from vmcoredd.emu import memory_image
from vmcoredd.emu import profile as profiles
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.access_log import AccessLog
from vmcoredd.emu.alarms import Alarms
from vmcoredd.emu.config_space import ConfigSpace, Control
from vmcoredd.emu.core import Core
from vmcoredd.emu.engine import Engine
from vmcoredd.emu.errors import EmuError, NoSuchPort, NotUndone
from vmcoredd.emu.firmware import Firmware, links
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario import Scenario, Scene
from vmcoredd.emu.silicon import faults, models
from vmcoredd.emu.silicon.engine import PacketEngine
from vmcoredd.emu.silicon.mailbox import Mailboxes
from vmcoredd.emu.silicon.model import Model, fault_name
from vmcoredd.emu.silicon.pcie import ConfigBackDoor, MemoryWindows, Page
from vmcoredd.emu.silicon.server import ServedBy
from vmcoredd.emu.silicon.slot import REMOVAL
from vmcoredd.emu.snapshot import Snapshot, tables
from vmcoredd.emu.spaces import Space
from vmcoredd.emu.triggers import Triggers, parse, waits
from vmcoredd.emu.undo import (
    Difference,
    Word,
    difference,
    has_fields,
    merged,
    merged_words,
    put_back,
)
from vmcoredd.plural import counted
from vmcoredd.trace.records import UNDONE, Kind, Source

if TYPE_CHECKING:
    from pyvfio_user import Server

T = TypeVar("T", bound=Model)

BARS: dict[int, int] = {Bar.REGISTERS: REGISTERS_BYTES, Bar.DOORBELLS: 8 << 20, Bar.MSIX: 8 << 10}
"""Bytes of each BAR."""


def needs_server(fault: str) -> bool:
    """Returns whether only a card that is served can have a fault."""
    found = faults().get(fault_name(fault))
    return found is not None and found.served


def _scene(name: Scene | str) -> Scene:
    if isinstance(name, Scene):
        return name
    if name not in Scene.chosen():
        raise EmuError(f"no scene {name}; there are {', '.join(Scene.chosen())}")
    return Scene(name)


class BarAccess:
    """One BAR of a card."""

    def __init__(self, core: Core, bar: int) -> None:
        self._core, self.number = core, bar

    @property
    def access(self) -> tuple[int, int]:
        """The C entry point as integers: a `region_access` function and its cookie."""
        return self._core.native(self.number)


class Card:
    """One emulated adapter; use it from one thread at a time. The arguments are those of `load`."""

    def __init__(
        self,
        profile: Profile,
        *,
        seed: int = 0,
        scene: Scene | str = Scene.CRASHED,
        strict: bool = False,
        map_window: bool = False,
    ) -> None:
        self.profile, self.seed, self.chip = profile, seed, profile.chip
        self.memories = Memories(self.chip.memory.types, vars(profile.memory))
        self.scenario = Scenario(profile, seed, self.memories, _scene(scene))
        self.core = Core(self.chip, BARS, strict=strict)
        self.core.windows.attach(self.memories)
        content = memory_image.fill if self.scenario.crashed else memory_image.boot
        content(self.memories, self.scenario.memory_map, self.scenario.random("memory"))
        self.models = [kind(self.core, self.scenario, self.memories) for kind in models()]
        self.alarms = Alarms()
        self._wire()
        self.config_space.on_reset = self.reset
        self.config_space.on_control = self._control
        self.faults: dict[str, Difference | None] = {}
        """The faults that are on, in the order in which they came, and what each has changed; None
        for one that cannot be undone."""
        self.triggers = Triggers(self)
        self.shared: dict[int, tuple[int, bool]] = {}
        """The memory that a client shares: bytes and whether the card may write, by address."""
        self._when_served: list[str] = []
        self.window_page: Page | None = self.model(MemoryWindows).map_page() if map_window else None

    @classmethod
    def load(
        cls,
        name: str | Path,
        seed: int = 0,
        *,
        scene: Scene | str = Scene.CRASHED,
        faults: Iterable[str] = (),
        strict: bool = False,
        map_window: bool = False,
        **overrides: dict[str, Any],
    ) -> Card:
        """Builds a card from a profile, which is a name or the path of a TOML file.

        `seed` chooses all random content: the same profile, seed and scene make the same card.
        `scene` is "crashed", after a driver used it until the machine crashed, or "fresh", as
        firmware leaves it after power-on. `faults` are switched on, as by `fail()`, after those
        that the profile names; those can be undone.

        `overrides` replace values of the profile: `memory={"mc0": 24}`. `strict` refuses accesses
        to words without behaviour. `map_window` lets clients map the page of the memory window:
        that is fast, but the card sees what they write to the registers of that page (doorbells,
        interrupts) only when it looks there (docs/reference/limits.md). Raises ProfileError or
        EmuError.
        """
        file = profiles.ProfileFile(name)
        profile = file.profile(overrides)
        card = cls(profile, seed=seed, scene=scene, strict=strict, map_window=map_window)
        for text in profile.faults:
            try:
                card.fail(text, undoable=True)
            except EmuError as error:
                raise file.error(str(error), "faults") from error
        for text in faults:
            card.fail(text)
        return card

    def _wire(self) -> None:
        for model in self.models:
            model.make()
        for model in self.models:
            model.wire()
            model.bind()
        self.core.fetch_all()
        for model in self.models:
            model.firmware = self.firmware
            model.spent, model.alarms = self._spent, self.alarms

    def _spent(self, fault: str) -> None:
        self.faults.pop(fault, None)

    def _control(self, control: Control) -> None:
        self.engine.allow(**control._asdict())

    def model(self, kind: type[T]) -> T:
        """Returns the card's model of this class; EmuError if it has none."""
        for model in self.models:
            if isinstance(model, kind):
                return model
        raise EmuError(f"{self.profile.name} has no {kind.__name__}")

    def fail(self, name: str, *, undoable: bool = False) -> None:
        """Switches a fault on, or lets it wait for its trigger (emu/triggers.py).

        `emu.faults()` lists the names. An `undoable` one takes about a tenth of a second more, and
        comes only if it is not on. Raises NoSuchFault if this card has none, BadArgument,
        TriggerError.
        """
        trigger = parse(name, faults())
        if needs_server(name):
            self.model(ServedBy).check()
        if waits(name):
            self.triggers.arm(trigger)
        elif not undoable:
            self._fail(name)
            self.faults.setdefault(name, None)
        elif name not in self.faults:
            before = self.snapshot()
            self._fail(name)
            self.faults[name] = difference(before, self.snapshot())

    def fail_served(self, *names: str) -> None:
        """Switches faults on that can be undone; those of a server, once one serves the card."""
        self._when_served += filter(needs_server, names)
        for name in names:
            if not needs_server(name):
                self.fail(name, undoable=True)

    def be_served(self, server: Server) -> None:
        """Is served from now on; faults of the server can come."""
        self.model(ServedBy).server = server
        while self._when_served:
            self.fail(self._when_served.pop(0), undoable=True)

    def _fail(self, name: str) -> None:
        fault = faults()[fault_name(name)]
        model = next(model for model in self.models if fault.name in model.faults())
        getattr(model, fault.method)(*fault.values(name))
        self.core.note(Kind.FAULT, Source.USER, name)

    def undo(self, *names: str) -> None:
        """Undoes faults that were switched on as undoable: the last one first.

        What they changed is put back as far as it is still as they left it (emu/undo.py). Raises
        NotUndone, before anything is undone, unless all that came after the first of them is named.
        """
        on = [*self.faults]
        for name in names:
            if name not in on:
                raise NotUndone(f"{name} is not on")
            if self.faults[name] is None:
                raise NotUndone(f"{name} was not switched on to be undone: restore a snapshot")
        first = min(map(on.index, names), default=len(on))
        if later := [name for name in on[first:] if name not in names]:
            raise NotUndone(f"{', '.join(later)} came after {on[first]}: name that too")
        for name in reversed(on[first:]):
            changed = self.faults.pop(name)
            assert changed
            self.triggers.ended(name)
            if name == REMOVAL:
                self.power_on()
            else:
                self._put_back(changed)
            self.core.note(Kind.FAULT, Source.USER, f"{name}{UNDONE}")

    def _put_back(self, changed: Difference) -> None:
        core, firmware = self.core, self.firmware
        links_before = [replace(link) for link in firmware.state.links]
        core.windows.sync()
        self._put_back_words(changed)
        for place, (before, after) in changed.models.items():
            model = self.models[place]
            if not isinstance(model, PacketEngine):  # which follows the firmware
                model.load(merged(before, after, model.save()))
        firmware.show()
        for port, link in enumerate(links_before):
            if link != firmware.state.links[port]:
                links.update(firmware, port)
        core.windows.show()

    def _put_back_words(self, changed: Difference) -> None:
        core = self.core
        spaces = tables(core)
        for place, words in changed.tables.items():
            put_back(spaces[place].words, words, self._with_fields(spaces[place], words))
        for place, words in changed.bars.items():
            bar = core.spaces.space(f"bar{[*core.memfds][place]}")
            put_back(bar.words, words, self._with_fields(bar, words))
        for place, words in changed.memories.items():
            memory = [*self.memories][place]
            kept = [word for word in words if not self.firmware.log.holds(memory, 4 * word.place)]
            put_back(memory.memfd.view.cast("I"), kept, [False] * len(kept))
        before, after = changed.commands
        core.lookups.resume(merged_words(before, after, core.lookups.save()))

    def _with_fields(self, space: Space, words: Sequence[Word]) -> list[bool]:
        return [has_fields(self.chip, space.name, word.place * space.stride) for word in words]

    def pull(self, port: int, *, pulled: bool = True) -> None:
        """Pulls the cable out of a port, whatever its wire, or plugs it in again.

        NoSuchPort if the card has no such port.
        """
        if port not in range(count := self.profile.ports.count):
            raise NoSuchPort(f"no port {port}: a {self.profile.name} has {counted(count, 'port')}")
        links.pull(self.firmware, port, pulled=pulled)

    # Accesses

    @property
    def bars(self) -> dict[int, int]:
        """Bytes of each BAR, by its number."""
        return {int(bar): size for bar, size in BARS.items()}

    @property
    def bar0(self) -> BarAccess:
        """Registers and memory windows."""
        return BarAccess(self.core, Bar.REGISTERS)

    @property
    def bar2(self) -> BarAccess:
        """User doorbells: what is written there tells the packet engine."""
        return BarAccess(self.core, Bar.DOORBELLS)

    @property
    def bar4(self) -> BarAccess:
        """MSI-X table and pending bits."""
        return BarAccess(self.core, Bar.MSIX)

    def bar_read(self, bar: int, offset: int, length: int) -> bytes:
        """Returns `length` bytes of a BAR, little-endian; AccessError if refused."""
        data = ffi.new("uint8_t[]", length)
        self.core.access(bar, offset, data, length, write=False)
        return bytes(ffi.buffer(data))

    def bar_write(self, bar: int, offset: int, data: bytes) -> None:
        """Writes a BAR; AccessError if refused."""
        self.core.access(bar, offset, ffi.from_buffer(data), len(data), write=True)

    def read(self, offset: int, width: int = 4) -> int:
        """Returns a register of BAR0: `width` bytes at `offset`. AccessError if refused."""
        return int.from_bytes(self.bar_read(0, offset, width), "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes a register of BAR0: `width` bytes at `offset`. AccessError if refused."""
        self.bar_write(0, offset, value.to_bytes(width, "little"))

    def config_read(self, offset: int, length: int) -> bytes:
        """Returns `length` bytes of configuration space; AccessError if refused."""
        return self.config_space.guest_read(offset, length)

    def config_write(self, offset: int, data: bytes) -> None:
        """Writes configuration space; AccessError if refused."""
        self.config_space.guest_write(offset, data)

    @cached_property
    def config_space(self) -> ConfigSpace:
        """The function's configuration space."""
        return self.model(ConfigBackDoor).config

    @property
    def config(self) -> bytes:
        """All 4096 bytes of configuration space; reading them is no access."""
        return self.config_space.read(0, CONFIG_BYTES)

    @property
    def accesses(self) -> dict[str, int]:
        """Accesses to BAR0 so far, by size: the fields of `struct access_counts` (core.h)."""
        return self.core.counts()

    @property
    def mailboxes(self) -> Mailboxes:
        """The mailboxes of all functions."""
        return self.model(Mailboxes)

    @property
    def firmware(self) -> Firmware:
        """The firmware behind the mailboxes."""
        return self.mailboxes.firmware

    @property
    def engine(self) -> Engine:
        """The packet engine."""
        return self.core.engine

    @property
    def access_log(self) -> AccessLog:
        """Guest errors, and accesses to unimplemented or undescribed words."""
        return self.core.access_log

    # The whole card

    def power_on(self) -> None:
        """Makes the card as it is after power-on (scene "fresh"), whatever its scene was.

        Its wires, cables that are pulled and faults stay.
        """
        ports = [link.pulled for link in self.firmware.state.links]
        Card(self.profile, seed=self.seed, scene=Scene.FRESH).snapshot().put(
            self.core, self.memories, self.models
        )
        for port, pulled in enumerate(ports):
            links.pull(self.firmware, port, pulled=pulled)
        on, self.faults = self.faults, {}
        for name, changed in on.items():
            self.fail(name, undoable=changed is not None)

    def reset(self, source: Source = Source.CLIENT) -> None:
        """Resets the function as FLR does: queues and mailboxes, but not memories or firmware.

        `source` is who wants it, for the trace. A card that is out of its slot hears nothing.
        """
        self.core.note(Kind.RESET, source)
        if self.core.c.gone:
            return
        for model in self.models:
            model.reset()

    def snapshot(self) -> Snapshot:
        """Returns a copy of the card's whole state, sparse where memory is unused."""
        parts = self.scenario, self.core, self.memories, self.models
        return Snapshot.take(*parts, faults=self.faults)

    def restore(self, snapshot: Snapshot) -> None:
        """Restores a snapshot of this card, or of another with the same profile and scene.

        EmuError for any other.
        """
        if not snapshot.fits(self.scenario, self.core, self.memories):
            name, scene = snapshot.kind
            here = f"a {self.profile.name}, scene {self.scenario.scene}"
            raise EmuError(f"the snapshot is not of {here}, but of a {name}, scene {scene}")
        snapshot.put(self.core, self.memories, self.models)
        self.faults = dict(snapshot.faults)
