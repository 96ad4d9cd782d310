"""The adapter's silicon: one file per block, each with the models of that block.

A block's file defines subclasses of `Model`; every module in this folder is found by itself, so a
new block edits no list. A model says what words there are and what they do:

    class Mtu(Model):
        def make(self) -> None:                       # tables and spaces, before any wiring
            self.mtus = self.spaces.table("tp_mtu", rows=16)

        def wire(self) -> None:                       # words, lookups: all spaces exist now
            self.spaces.plain(self.r.TP_PC_CONFIG, 0x40000)
            self.lookups.request(self.r.TP_MTU_TABLE, self.mtus, tag=0xFF000000, mask=0xFF,
                               shift=24, keep=0xFFFFFF)
            self.mtus.fill(0, self.scenario.mtus)        # from the card's one consistent state

        @writes("TP_CMM_TCB_BASE")                    # behaviour that no table can express
        def moved(self, element: int, value: int) -> int | None:
            return value & ~0xFF                      # what is stored; None: what was written

        @fault("tp-mtu-zero", "The MTU table reads as 0.")
        def lose_mtus(self) -> None:
            self.mtus.fill(0, [0] * 16)

What a model has: `self.chip` and `self.r` (its registers; a misspelt name is an error at once),
`self.scenario` (emu/scenario: from profile and seed), `self.spaces` (emu/spaces.py),
`self.lookups` (emu/lookup.py), `self.core` (emu/core.py: hooks, windows), `self.memories`.

Words. Before any model speaks, described registers are stored words: those of register dumps may
be read, a write is logged as unimplemented; the rest are logged both ways. A model claims what it
means with `spaces.plain`, `spaces.read_only`, `spaces.write_to_clear`, each with values. Plain
`spaces.set()` only gives a value, and is the right call for what hardware counts or reports.

Lookups. `lookups.add()` is the general lookup, `lookups.index()` the address/data pair,
`lookups.request()` a table asked and answered at one address; `lookups.done()` clears busy bits;
`lookups.hang()` makes a command register ignore commands, `lookups.delay()` carry them out later
(both for faults). Tables are made with
`spaces.table(name, rows, width)`; `Space.words` is a memoryview of 32-bit words that C works on,
`Space.fill(first, values)` puts words in. `spaces.registers()` makes a space with kinds, in
which ports and hooks can be bound as in BAR0 (the CIM's address space is one). A data word shows
the row of the last command, so fill tables in `wire()`: when all models are wired, every port
fetches its present row once.

Hooks. `@reads("NAME")` and `@writes("NAME")` bind methods to registers of BAR0 or of another
space with kinds; the name is checked at import, and both take the element of an array first. An
exception in a hook becomes an error for the access and is logged.

Faults. `@fault(name, meaning)` declares a switch beside the silicon it breaks; `Card.load(...,
faults=[name])` or `card.fail(name)` calls the method once the card is complete.

State that a model keeps in Python rather than in words goes through `save()` and `load()`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from vmcoredd.emu.silicon.model import Fault, Model, fault, reads, writes

__all__ = ["Fault", "Model", "fault", "faults", "models", "reads", "writes"]


@cache
def models() -> tuple[type[Model], ...]:
    """Every model of this folder, by file and then in the order they stand there."""
    found: list[type[Model]] = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        found += [
            item
            for item in vars(loaded).values()
            if isinstance(item, type)
            and issubclass(item, Model)
            and item.__module__ == loaded.__name__
            and item is not Model
        ]
    return tuple(found)


@cache
def faults() -> dict[str, Fault]:
    """Every fault a card can be given, by name."""
    return {name: item for kind in models() for name, item in kind.faults().items()}
