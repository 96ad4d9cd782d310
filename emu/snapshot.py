"""A copy of a card's whole state: words, BARs, memories, and the models' own state in Python.

It leaves out the kinds of words, which are the same for all cards of a profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmcoredd.emu.core import Core
from vmcoredd.emu.memory import Memfd, Memories
from vmcoredd.emu.scenario import Scenario
from vmcoredd.emu.silicon.model import Model
from vmcoredd.emu.spaces import Space


@dataclass(frozen=True)
class Snapshot:
    """One state of a card."""

    kind: tuple[str, str]
    """The profile and the scene."""
    layout: tuple[tuple[str, int], ...]
    tables: tuple[bytes, ...]
    commands: bytes
    bars: tuple[Memfd, ...]
    memories: tuple[Memfd, ...]
    models: tuple[Any, ...]
    faults: tuple[tuple[str, Any], ...]
    """Those that were on, each with what it changed if that is known."""

    @classmethod
    def take(
        cls,
        scenario: Scenario,
        core: Core,
        memories: Memories,
        models: Sequence[Model],
        faults: Mapping[str, Any],
    ) -> Snapshot:
        """Copies the state of a card, sparsely where memory is unused."""
        core.windows.sync()
        return cls(
            _kind(scenario),
            _layout(core, memories),
            tuple(bytes(space.words) for space in tables(core)),
            core.lookups.save(),
            tuple(memfd.copy() for memfd in core.memfds.values()),
            tuple(memory.memfd.copy() for memory in memories),
            tuple(model.save() for model in models),
            tuple(faults.items()),
        )

    @property
    def size(self) -> int:
        """The bytes of memory that it occupies, about."""
        memfds = (*self.bars, *self.memories)
        return sum(map(len, self.tables)) + sum(each.used for each in memfds)

    def fits(self, scenario: Scenario, core: Core, memories: Memories) -> bool:
        """Returns whether a card has the same profile, scene, spaces and memories."""
        return (self.kind, self.layout) == (_kind(scenario), _layout(core, memories))

    def put(self, core: Core, memories: Memories, models: Sequence[Model]) -> None:
        """Restores this state on a card that it fits."""
        for space, words in zip(tables(core), self.tables, strict=True):
            space.words[:] = memoryview(words).cast("I")
        core.lookups.load(self.commands)
        for memfd, saved in zip(core.memfds.values(), self.bars, strict=True):
            memfd.assign(saved)
        for memory, copied in zip(memories, self.memories, strict=True):
            memory.memfd.assign(copied)
        for model, kept in zip(models, self.models, strict=True):
            model.load(kept)
        core.windows.show()


def tables(core: Core) -> list[Space]:
    """Returns the spaces of a card whose words no BAR holds, in the order that a snapshot has."""
    return [space for space in core.spaces.all if not space.name.startswith("bar")]


def _kind(scenario: Scenario) -> tuple[str, str]:
    return scenario.profile.name, scenario.scene


def _layout(core: Core, memories: Memories) -> tuple[tuple[str, int], ...]:
    spaces = [(space.name, space.count) for space in core.spaces.all]
    return (*spaces, *((memory.name, memory.size) for memory in memories))
