"""The base class of all models; the docstring of the package says how to write one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from vmcoredd.chip import T5, T6, Register
from vmcoredd.chip.pci import PF
from vmcoredd.emu.errors import BadArgument, NoSuchFault
from vmcoredd.emu.silicon.arguments import Takes

if TYPE_CHECKING:
    from vmcoredd.emu.alarms import Alarms
    from vmcoredd.emu.core import Core
    from vmcoredd.emu.firmware import Firmware
    from vmcoredd.emu.memory import Memories
    from vmcoredd.emu.scenario import Scenario

ERROR_VECTOR = 0
"""The vector of interrupts that are not about data (cxgb4_main.c, t4_nondata_intr())."""

F = TypeVar("F", bound=Callable[..., Any])
Q = TypeVar("Q")


class Binding(NamedTuple):
    """Marks a method as a hook of these registers."""

    registers: tuple[str, ...]
    verb: str


class Fault(NamedTuple):
    """A switch that breaks something; `meaning` describes the effect in one line."""

    name: str
    meaning: str
    method: str
    arguments: tuple[object, ...] = ()
    """What the method is called with."""
    reports: bool = False
    """Whether only what the card reports changes: causes, states, counters, the firmware's log.
    Every access that a dump takes behaves as on a healthy card."""
    takes: Takes | None = None
    """What stands behind its name and a `=`."""
    served: bool = False
    """Whether only a card can have it that is served."""

    @property
    def form(self) -> str:
        """How it is named: `firmware-dead`, `firmware-retval=RETVAL`."""
        return f"{self.name}={self.takes.form}" if self.takes else self.name

    @property
    def example(self) -> str:
        """A text that names it: `firmware-dead`, `firmware-retval=EBUSY`."""
        return f"{self.name}={self.takes.example}" if self.takes else self.name

    def values(self, text: str) -> tuple[object, ...]:
        """Returns what its method is called with when `text` names it. Raises BadArgument."""
        _, equals, argument = text.partition("=")
        if self.takes:
            return *self.arguments, self.takes.value(self.name, argument)
        if equals:
            raise BadArgument(f"{text}: {self.name} takes no argument; type {self.name}")
        return self.arguments


def fault_name(text: str) -> str:
    """Returns the name in a text that names a fault, perhaps with an argument and a trigger."""
    return re.split("[=@,]", text, maxsplit=1)[0]


def reads(*registers: str) -> Callable[[F], F]:
    """Makes a method handle reads of these registers: (element, stored) -> the word to read."""
    return _binds(registers, "read")


def writes(*registers: str) -> Callable[[F], F]:
    """Makes a method handle writes: (element, value) -> the word to store, or None for `value`."""
    return _binds(registers, "write")


def _binds(registers: tuple[str, ...], verb: str) -> Callable[[F], F]:
    for name in registers:
        if name not in T5.r:
            T6.r[name]  # raises UnknownRegister with the nearest names

    def mark(method: F) -> F:
        vars(method).setdefault("bindings", []).append(Binding(registers, verb))
        return method

    return mark


def fault(
    name: str,
    meaning: str,
    *,
    each: Iterable[object] | Mapping[str, str] = (),
    reports: bool = False,
    takes: Takes | None = None,
    served: bool = False,
) -> Callable[[F], F]:
    """Makes a method the switch for a fault, or for one fault per item of `each`.

    An item is the method's argument. It takes the place of `{}` in the name; it, or its value in a
    mapping, that of `{}` in the meaning, and in capitals that of `{upper}`. What a fault `takes`
    (arguments.py) is the method's last argument. `reports` and `served`: see Fault.
    """
    items = each if isinstance(each, Mapping) else {item: str(item) for item in each}

    def mark(method: F) -> F:
        of = method.__name__
        found = [
            Fault(
                name.format(item),
                meaning.format(text, upper=text.upper()),
                *(of, (item,), reports, takes, served),
            )
            for item, text in items.items()
        ]
        vars(method)["faults"] = found or [Fault(name, meaning, of, (), reports, takes, served)]
        return method

    return mark


class Model:
    """One block of silicon, or a part of one."""

    firmware: Firmware
    """The card's firmware, once the card is complete: faults may log what it notices."""
    spent: Callable[[str], None]
    """To be told of a fault that ends by itself, when it has: it is on no more."""
    alarms: Alarms
    """What is to happen later: while nobody serves the card, time stands."""

    def __init__(self, core: Core, scenario: Scenario, memories: Memories) -> None:
        self.core, self.scenario, self.memories = core, scenario, memories
        self.spaces, self.lookups = core.spaces, core.lookups
        self.chip, self.r = core.spaces.chip, core.spaces.r

    def make(self) -> None:
        """Makes the model's tables and spaces."""

    def wire(self) -> None:
        """Declares words and lookups; the spaces of all models exist by now."""

    def reset(self) -> None:
        """Handles a function reset (FLR, or a new client's DEVICE_RESET)."""

    def save(self) -> Any:
        """Returns state that no word, table or memory holds; it must be immutable."""
        return None

    def load(self, saved: Any) -> None:
        """Restores what `save()` returned."""

    def bind(self) -> None:
        """Binds the methods that are hooks, except for registers that this chip lacks."""
        for name in self._hooked():
            read, write = self._method(name, "read"), self._method(name, "write")
            self.core.hook(self.r[name], read, write)

    def _hooked(self) -> list[str]:
        names = [name for _, binding in self._bindings() for name in binding.registers]
        return [name for name in dict.fromkeys(names) if name in self.r]

    def _method(self, register: str, verb: str) -> Any:
        for name, binding in self._bindings():
            if verb == binding.verb and register in binding.registers:
                return getattr(self, name)
        return None

    # Faults

    def interrupt(self, block: str, cause: Register, *bits: str, element: int = 0) -> None:
        """Sets bits of a block's cause register, and the block's bit of PL_INT_CAUSE.

        If that is enabled, and interrupts go to the driver's function, it gets vector 0: only now,
        not for causes that are left when it enables them (assumed).
        """
        get, r = self.spaces.get, self.r
        self.spaces.set_bits(cause, *bits, element=element)
        self.spaces.set_bits(r.PL_INT_CAUSE, block)
        enabled = get(r.PL_INT_CAUSE) & get(r.PL_INT_ENABLE)
        if enabled and r.PL_INT_MAP0.get(get(r.PL_INT_MAP0), "MapDefault") & 1 << PF:
            self.core.engine.interrupt(ERROR_VECTOR)

    def waiting_bits(self, register: Register) -> int:
        """Returns the bits of a debug register that say that data wait: 0 where they flow."""
        return self.chip.back_pressure.full_bits(register)

    def queue(self, queues: Sequence[Q], number: int) -> Q:
        """Returns one of a driver's queues; NoSuchFault if no driver has used the card."""
        if not queues:
            raise self.refuse("queue yet")
        return queues[number]

    def refuse(self, what: str) -> NoSuchFault:
        """Returns the error of a fault in `what` this card does not have."""
        return NoSuchFault(f"no such fault on a {self.scenario.profile.name}: it has no {what}")

    @classmethod
    def _bindings(cls) -> Iterator[tuple[str, Binding]]:
        for name in dir(cls):
            for binding in getattr(getattr(cls, name), "bindings", ()):
                yield name, binding

    @classmethod
    @cache
    def faults(cls) -> dict[str, Fault]:
        """Returns the faults that this model declares, by name."""
        marked = (getattr(getattr(cls, name), "faults", ()) for name in dir(cls))
        return {item.name: item for items in marked if isinstance(items, list) for item in items}
