"""A card that is being raised, and the registration of the collectors' inverses."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from vmcoredd.chip import Field, Register
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.emu import Card
from vmcoredd.raised.answered import Answered


class Raising:
    """The card, and the dump that it is raised from."""

    def __init__(self, card: Card, dump: Answered) -> None:
        self.card, self.dump = card, dump
        self.chip, self.r, self.spaces = card.chip, card.chip.r, card.core.spaces

    def store(self, name: str, index: int, value: int) -> None:
        """Stores a word of a space, if there is such a word."""
        words = self.spaces.space(name).words
        if 0 <= index < len(words):
            words[index] = value

    def fill(self, name: str, first: int, values: Iterable[int]) -> None:
        """Stores words from index `first` on, as many as there are."""
        for index, value in enumerate(values, first):
            self.store(name, index, value)

    def copy(self, name: str, first: int, data: bytes) -> None:
        """Stores little-endian words from index `first` on, as many as there is room for."""
        room = self.spaces.space(name).words.cast("B")[WORD_BYTES * first :]
        size = min(len(data) // WORD_BYTES * WORD_BYTES, len(room))
        room[:size] = data[:size]

    def get(self, register: Register, element: int = 0) -> int:
        """Returns a word that has been raised already."""
        return self.spaces.get(register, element)

    def set(self, register: Register, value: int, element: int = 0) -> None:
        """Stores a register's word."""
        self.spaces.set(register, value, element)

    def command(self, register: Register) -> Any:
        """Returns the entry of a register that takes commands (`struct command`)."""
        return self.card.core.lookups.command(register)


def fitted(field: Field, value: int) -> int:
    """Returns a field's value in its place, without the bits that no register holds."""
    return field.put(value & field.mask >> field.shift)


Inverse = Callable[[Raising, bytes], None]
"""Stores an entity's bytes on the card. It is given all of them, zeros for what is lost."""

_registered: dict[str, Inverse] = {}


def inverse(*names: str) -> Callable[[Inverse], Inverse]:
    """Registers the inverse of the collectors of these entities."""

    def register(function: Inverse) -> Inverse:
        _registered.update(dict.fromkeys(names, function))
        return function

    return register


@cache
def inverses() -> dict[str, Inverse]:
    """Returns every inverse by its entity's name; imports all modules of `raised.inverses`."""
    package = importlib.import_module("vmcoredd.raised.inverses")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_registered)
