"""Healthy cards of the same kind as the card that a dump is of: what it would show if nothing were
wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.dump import Dump
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.cudbg.words import Word
from vmcoredd.driver import open_card
from vmcoredd.emu import Card
from vmcoredd.emu.scenario import Scene
from vmcoredd.emu.spaces import WordKind
from vmcoredd.raised.profile import healthy_profile_of

_SCENES = {Scene.CRASHED: 10, Scene.FRESH: 1}
"""How many cards of each scene: so many that what a seed decides is not equal on all of them."""
_NO_VALUE = (WordKind.UNDESCRIBED, WordKind.UNIMPLEMENTED, WordKind.DUMPED)
"""Words that no model gives a value of its own."""


Progress = Callable[[int, int], None]
"""Called with how many cards are made, and how many there will be."""


@dataclass(frozen=True)
class Twins:
    """Healthy cards of one kind, and what they show."""

    title: str
    """The kind of the cards: `T62100-CR`."""
    dumps: tuple[tuple[Dump, ...], ...]
    """Those of cards that a driver used, then of a card after power-on."""
    _card: Card

    @property
    def count(self) -> int:
        """How many cards there are."""
        return sum(map(len, self.dumps))

    def model(self, word: Word, healthy: int) -> bool:
        """Returns whether they give a register, whose value on them is `healthy`, a value of its
        own: of all others they have the value after reset, which is 0 where it is not known."""
        if word.space != BAR0 or healthy != (word.reset or 0):
            return True
        space = self._card.core.spaces.space(BAR0)
        return space.kinds[space.index(word.offset)] not in _NO_VALUE


def twins_of(dump: Dump, progress: Progress = lambda done, total: None) -> Twins:
    """Makes healthy cards of the kind of the dump's, and dumps them without their memories.

    Raises UnknownFormat if the chip is not known.
    """
    profile = healthy_profile_of(dump)
    names = [entity.name for entity in entities().values() if entity.stage == Stage.HARDWARE]
    made: dict[Scene, list[Dump]] = {scene: [] for scene in _SCENES}
    for done, (scene, seed) in enumerate(every := [*_cards()]):
        progress(done, len(every))
        card = Card(profile, seed=seed, scene=scene)
        made[scene].append(_dumped(card, names))
    return Twins(profile.card.title, tuple(tuple(group) for group in made.values()), card)


def _cards() -> Iterator[tuple[Scene, int]]:
    for scene, count in _SCENES.items():
        yield from ((scene, seed) for seed in range(count))


def _dumped(card: Card, names: list[str]) -> Dump:
    buffer = memoryview(bytearray(_BYTES))
    with open_card(card) as adapter:
        report = adapter.collect(buffer, compress="none", entities=names)
    return Dump(buffer[: report.data_len])


_BYTES = 2 << 20
"""Room for all entities but memories."""
