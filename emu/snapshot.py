"""The whole state of a card, kept aside: words, BARs, memories, and what models keep themselves.

Which words have which behaviour is not part of it: that is the same for every card of a profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.memory import Memfd
from vmcoredd.emu.spaces import Space

if TYPE_CHECKING:
    from vmcoredd.emu.card import Card


@dataclass(frozen=True)
class Snapshot:
    """One state of a card."""

    layout: tuple[tuple[str, int], ...]
    tables: tuple[bytes, ...]
    commands: bytes
    bars: tuple[Memfd, ...]
    memories: tuple[Memfd, ...]
    models: tuple[Any, ...]

    @classmethod
    def take(cls, card: Card) -> Snapshot:
        """The state of a card; memories are copied sparsely."""
        card.core.sync()
        return cls(
            _layout(card),
            tuple(bytes(space.words) for space in _tables(card)),
            card.core.lookups.save(),
            tuple(memfd.copy() for memfd in card.core.memfds.values()),
            tuple(memory.memfd.copy() for memory in card.memories),
            tuple(model.save() for model in card.models),
        )

    def put(self, card: Card) -> None:
        """Gives a card this state; EmuError if its profile is another."""
        if self.layout != _layout(card):
            raise EmuError(f"the snapshot is not of a {card.profile.name}")
        for space, words in zip(_tables(card), self.tables, strict=True):
            space.words[:] = memoryview(words).cast("I")
        card.core.lookups.load(self.commands)
        for memfd, saved in zip(card.core.memfds.values(), self.bars, strict=True):
            memfd.assign(saved)
        for memory, saved in zip(card.memories, self.memories, strict=True):
            memory.memfd.assign(saved)
        for model, kept in zip(card.models, self.models, strict=True):
            model.load(kept)
        card.core.show()


def _tables(card: Card) -> list[Space]:
    return [space for space in card.core.spaces.all if not space.name.startswith("bar")]


def _layout(card: Card) -> tuple[tuple[str, int], ...]:
    spaces = [(space.name, space.count) for space in card.core.spaces.all]
    return (*spaces, *((memory.name, memory.size) for memory in card.memories))
