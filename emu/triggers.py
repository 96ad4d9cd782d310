"""When a fault comes. A fault's name, its argument if it takes one (emu/silicon/arguments.py), and
what it waits for:

    firmware-crash                   nothing
    firmware-retval=EBUSY            nothing
    firmware-crash@5s                five seconds, of a card that is served
    device-gone@read:PL_WHOAMI       the first read of the register
    device-gone@read:PL_WHOAMI:3     the third
    firmware-crash@read:EDC_H_INT_CAUSE[1]   the first read of the second word of that name: EDC1's
    flash-busy@write:SF_OP:2,p=0.1   the second write, and if that has no luck, a later one: each
                                     has a chance of 0.1, from the card's seed
    firmware-dead@command:VI:2       the second mailbox command of that kind, which it may swallow
    firmware-slow@read:PCIE_FW,for=2s    likewise; after two seconds it is undone

A trigger waits once. Only the register or the mailbox that it watches is slower meanwhile.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import Op
from vmcoredd.chip.register import Location, UnknownRegister
from vmcoredd.emu.alarms import Alarms, Clock
from vmcoredd.emu.core import Core
from vmcoredd.emu.errors import EmuError, NoSuchFault
from vmcoredd.emu.scenario import Scenario
from vmcoredd.emu.silicon.arguments import described, known
from vmcoredd.emu.silicon.mailbox import Mailboxes
from vmcoredd.emu.silicon.model import Fault, fault_name
from vmcoredd.plural import counted

log = logging.getLogger("emu")

FORM = re.compile(
    r"(?P<fault>[a-z0-9-]+(=[^@,]{0,99})?)"
    r"(@((?P<seconds>\d{1,9}(\.\d{1,9})?)s|(?P<event>[a-z]+):(?P<name>\w+(\[\d{1,5}\])?)(:(?P<count>\d{1,9}))?))?"
    r"(,p=(?P<chance>0?\.\d{1,9}|1|1\.0))?"
    r"(,for=(?P<lasts>\d{1,9}(\.\d{1,9})?)s)?",
    re.ASCII,
)
FORMS = (
    "FAULT or FAULT=ARGUMENT, then @5s, @read:REGISTER[:N], @write:REGISTER[:N] or "
    "@command:NAME[:N], then ,p=0.1 and ,for=2s"
)
EVENTS = ("read", "write", "command")
Fire = Callable[[], None]
MOST = 64
"""Faults that wait at most: one that waits for a time may cost a thread."""


class Card(Protocol):
    """What triggers need of a card."""

    chip: Chip
    core: Core
    scenario: Scenario
    alarms: Alarms

    @property
    def mailboxes(self) -> Mailboxes:
        """The mailboxes of all functions."""

    @property
    def faults(self) -> Mapping[str, object]:
        """Those that are on, in the order in which they came."""

    def fail(self, name: str, *, undoable: bool = False) -> None:
        """Switches a fault on. Raises EmuError."""

    def undo(self, *names: str) -> None:
        """Undoes faults. Raises EmuError."""


class TriggerError(EmuError):
    """A text is no fault with a trigger, or this card cannot wait for that."""


@dataclass(frozen=True)
class Trigger:
    """What a fault waits for: `seconds`, or the event number `count` with `name`; or nothing."""

    text: str
    fault: str
    """With its argument."""
    seconds: float | None = None
    event: str = ""
    name: str = ""
    count: int = 1
    chance: float = 1.0
    lasts: float | None = None
    """Seconds after which it is undone."""


def waits(text: str) -> bool:
    """Returns whether a text says when its fault comes or goes, and not only which it is."""
    return "@" in text or "," in text


def parse(text: str, faults: Mapping[str, Fault]) -> Trigger:
    """Returns the trigger that a text describes.

    Raises NoSuchFault, BadArgument and TriggerError.
    """
    found = FORM.fullmatch(text)
    name = fault_name(text)
    if name not in faults:
        near = difflib.get_close_matches(name, faults, 1)
        hint = f"did you mean {near[0]}?" if near else "`vmcoredd cards --faults` lists them"
        raise NoSuchFault(f"no fault {name}; {hint}")
    if not found:
        raise TriggerError(f"{text}: not a fault; type {FORMS}")
    faults[name].values(found["fault"])
    seconds, event = found["seconds"], found["event"] or ""
    if found["chance"] and not event:
        raise TriggerError(f"{text}: a chance is that of an event, as in @read:PL_WHOAMI,p=0.1")
    if event and event not in EVENTS:
        raise TriggerError(f"{text}: no event {event}; there is {', '.join(EVENTS)}")
    count = int(found["count"] or 1)
    if not count:
        raise TriggerError(f"{text}: events are counted from 1")
    awaited = _known(text, event, found["name"]) if event else ""
    chance = float(found["chance"] or 1)
    at, lasts = (float(each) if each else None for each in (seconds, found["lasts"]))
    return Trigger(text, found["fault"], at, event, awaited, count, chance, lasts)


def _known(text: str, event: str, name: str) -> str:
    """Checks the name of a command, or of a register."""
    try:
        if event == "command":
            known(Op.__members__, "command", name)
        else:
            described(name)
    except (UnknownRegister, ValueError) as error:
        raise TriggerError(f"{text}: {error}") from error
    return name


class Triggers:
    """The faults of a card that wait."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._armed: dict[str, Fire] = {}
        self._ends: dict[str, Fire] = {}
        """Of each fault that lasts for a time: what calls its end off."""
        self._over: set[str] = set()

    @property
    def armed(self) -> list[str]:
        """The texts of those that wait."""
        return [*self._armed]

    def arm(self, trigger: Trigger) -> None:
        """Makes a fault wait; one with the same text has its place. Raises TriggerError."""
        self._armed.pop(trigger.text, _nothing)()
        if trigger.seconds is None and not trigger.event:
            self._come(trigger)
            return
        if len(self._armed) >= MOST:
            raise TriggerError(
                f"{counted(MOST, 'fault waits', 'faults wait')} already: call one off"
            )
        if trigger.seconds is not None:
            fire = partial(self._fire, trigger)
            self._armed[trigger.text] = self._card.alarms.set(trigger.seconds, fire)
            return
        hear = _Counting(trigger, self._card, partial(self._fire, trigger))
        if trigger.event == "command":
            self._arm_command(trigger, hear)
        else:
            self._arm_access(trigger, hear)

    def disarm(self, text: str) -> None:
        """Lets a fault wait no more. Raises TriggerError if none with this text does."""
        if text not in self._armed:
            there = f"there is {', '.join(self._armed)}" if self._armed else "none does"
            raise TriggerError(f"{text} is not waiting; {there}")
        self._armed.pop(text)()

    def start_clock(self, clock: Clock) -> None:
        """Uses a clock from now on, also for the faults that have waited for one."""
        self._card.alarms.start(clock)

    def ended(self, fault: str) -> None:
        """A fault is undone before its time is over."""
        self._ends.pop(fault, _nothing)()
        self._over.discard(fault)

    def _arm_command(self, trigger: Trigger, hear: _Counting) -> None:
        mailboxes, opcode = self._card.mailboxes, Op[trigger.name]

        def heard(command: int) -> None:
            if command == opcode:
                hear()

        mailboxes.hears.append(heard)
        self._armed[trigger.text] = partial(mailboxes.hears.remove, heard)

    def _arm_access(self, trigger: Trigger, hear: _Counting) -> None:
        words, wanted = self._words(trigger), trigger.event == "write"

        def heard(is_write: bool) -> None:
            if is_write == wanted:
                hear()

        self._armed[trigger.text] = self._card.core.watch(words, heard)

    def _words(self, trigger: Trigger) -> Sequence[Location]:
        chip = self._card.chip
        try:
            words = chip.r.words(trigger.name)
        except UnknownRegister as error:
            raise TriggerError(f"{trigger.text}: a {chip} has no {trigger.name}") from error
        if not all(map(self._card.core.can_watch, words)):
            raise TriggerError(
                f"{trigger.text}: {trigger.name} is in a table; name the register that reads it"
            )
        return words

    def _fire(self, trigger: Trigger) -> None:
        self.disarm(trigger.text)
        try:
            self._come(trigger)
        except EmuError as error:
            log.warning("fault %s: %s", trigger.text, error)
        else:
            log.info("fault %s: it is on", trigger.text)

    def _come(self, trigger: Trigger) -> None:
        self._card.fail(trigger.fault, undoable=True)
        self.ended(trigger.fault)
        if trigger.lasts is not None:
            end = partial(self._end, trigger.fault)
            self._ends[trigger.fault] = self._card.alarms.set(trigger.lasts, end)

    def _end(self, fault: str) -> None:
        """Undoes the faults whose time is over; one that another follows, after that."""
        self._ends.pop(fault, None)
        if fault in self._card.faults:
            self._over.add(fault)
        while (on := [*self._card.faults]) and on[-1] in self._over:
            try:
                self._card.undo(on[-1])
            except EmuError as error:
                self._over.discard(on[-1])
                log.warning("fault %s: %s", on[-1], error)
                return
            log.info("fault %s: its time is over", on[-1])


class _Counting:
    """Counts a trigger's events, and fires."""

    def __init__(self, trigger: Trigger, card: Card, fire: Fire) -> None:
        self._left, self._chance, self._fire = trigger.count, trigger.chance, fire
        self._random = card.scenario.random(f"fault {trigger.text}")

    def __call__(self) -> None:
        self._left = max(0, self._left - 1)
        if not self._left and self._random.random() < self._chance:
            self._fire()


def _nothing() -> None:
    """For a text that does not wait."""
