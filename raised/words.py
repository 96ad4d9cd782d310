"""The inverse of the collectors of register words: `places` tells where each word is."""

from __future__ import annotations

from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.pci import CONFIG_BYTES, PF
from vmcoredd.chip.register import BAR0
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.words import RegisterEntity
from vmcoredd.emu.spaces import Space, WordKind
from vmcoredd.raised.raising import Raising

_NOT_STORED = (WordKind.WINDOW, WordKind.ALIAS, WordKind.DOORBELL)
"""Kinds of words of BAR0 that hold nothing of their own."""
_CONFIG = "pcie_config"


def store_words(on: Raising, entity: RegisterEntity, left: Remains) -> None:
    """Stores the words of an entity that are left."""
    parts = [(start, bytes(data[0 : len(data)])) for start, data in left.parts]
    spaces = {space.name: space for space in on.spaces.all}
    for start, data in parts:
        for name, offset, position in entity.places(on.chip):
            at = position - start
            space = spaces.get(name)
            if space is not None and 0 <= at <= len(data) - WORD_BYTES:
                value = int.from_bytes(data[at : at + WORD_BYTES], "little")
                _store(on, space, offset, value)


def _store(on: Raising, space: Space, offset: int, value: int) -> None:
    if space.name == _CONFIG:
        on.store(_CONFIG, (PF * CONFIG_BYTES + offset) // WORD_BYTES, value)
        return
    index = offset // space.stride
    if space.name == BAR0 and space.kinds[index] in _NOT_STORED:
        return
    on.store(space.name, index, value)
