"""The adapter's silicon: one file per block, with the models of that block.

A file defines subclasses of `Model`. Every module of this folder is discovered, so no list
of blocks exists. A model declares words and what they do:

    class Mtu(Model):
        def make(self) -> None:                     # tables and spaces, before any wiring
            self.mtus = self.spaces.table("tp_mtu", rows=16)

        def wire(self) -> None:                     # words and lookups: all spaces exist now
            self.spaces.plain(self.r.TP_PC_CONFIG, 0x40000)
            self.lookups.request(self.r.TP_MTU_TABLE, self.mtus, tag=0xFF000000, mask=0xFF,
                                 shift=24, keep=0xFFFFFF)
            self.mtus.fill(0, self.scenario.mtus)

        @writes("TP_CMM_TCB_BASE")                  # behaviour that no table can express
        def align(self, element: int, value: int) -> int | None:
            return value & ~0xFF                    # the word to store; None stores `value`

        @fault("tp-mtu-zero", "The MTU table reads as 0.")
        def lose_mtus(self) -> None:
            self.mtus.fill(0, [0] * 16)

A model has `self.chip` and its registers `self.r` (a misspelt name is an error at once),
`self.scenario` (emu/scenario: the state that the crashed driver left), `self.spaces`
(emu/spaces.py), `self.lookups` (emu/lookup.py), `self.core` (emu/core.py: hooks and windows)
and `self.memories`.

Words. Before any model is wired, every described register is a stored word, and accesses to it are
logged as unimplemented; those in register dumps may be read without a log entry. A model declares
the words it implements with `spaces.plain()` or `spaces.read_only()`, each with values.
`spaces.set()` only stores a value, which suits the counts and states that hardware reports.

Lookups. `lookups.add()` is the general lookup, `lookups.index()` an address/data pair,
`lookups.request()` a table that is requested and read at one address. `lookups.done()` clears busy
bits after a command. For faults, `lookups.hang()` makes a register ignore commands, and
`lookups.delay()` executes them some polls later. `spaces.table(name, rows, width)` makes a table:
`Space.words` is a memoryview of the 32-bit words that C works on, `Space.fill(first, values)`
stores words. `spaces.registers()` makes a space with kinds, whose words can have lookups and hooks
like those of BAR0 (the CIM's address space is one). A data word shows the row of the last command.
Fill tables in `wire()`: when all models are wired, every lookup fetches its current row once.

Hooks. `@reads("NAME")` and `@writes("NAME")` bind methods to registers of BAR0 or of another space
with kinds. The name is checked at import. Both methods take the index of an array's element first.
An exception in a hook fails the access and is logged.

Faults. `@fault(name, meaning)` declares a switch beside the silicon that it breaks. `Card.load(...,
faults=[name])` or `card.fail(name)` calls the method on the complete card. `each=` makes a family,
and `reports=True` says that no access behaves otherwise:

        @fault("parity-{}", "{upper} has a parity error.", each=("tx", "rx"), reports=True)
        def lose_parity(self, side: str) -> None:
            self.interrupt("PM", self.r.PM_CAUSE, f"{side}Perr")    # the cause, and PL_INT_CAUSE
            self.firmware.tell((Level.CRIT, Facility.HW, "parity"))  # a line of the device log

A fault can take an argument, FAULT=ARGUMENT, whose value is the method's last one (arguments.py):

        @fault("tp-mtus-short", "The last MTUs are 0.", takes=number("ROWS", "rows", 4, 16))
        def lose_some(self, rows: int) -> None:
            self.mtus.fill(16 - rows, [0] * rows)

A fault that happens once tells `self.spent(text)` when it has, with its argument. Causes of several
faults add up. A fault that does not fit the card raises `self.refuse("MC1")`.

State that a model keeps in Python, not in words, goes through `save()` and `load()`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from vmcoredd.emu.silicon.model import Fault, Model, fault, reads, writes

__all__ = ["Fault", "Model", "fault", "faults", "models", "reads", "writes"]


@cache
def models() -> tuple[type[Model], ...]:
    """Returns every model of this folder, in order of file name and definition."""
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
    """Returns every fault of every model, by name."""
    return {name: item for kind in models() for name, item in kind.faults().items()}
